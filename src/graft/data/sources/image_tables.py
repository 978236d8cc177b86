"""Import by a table: a CSV or Parquet file with one row per image.

    path             label   split   group
    images/1.jpg     cat     train   ann      paths are absolute, or relative to the table's folder
    images/2.jpg     dog     test    ben      split and group may be missing, as columns or cell by cell

A group (a patient, a camera, a hand) becomes a folder below the class, ``data/train/cat/group=ann/1.jpg``
(:mod:`graft.data.folder.layout`), which the scan reads into the manifest's column group, and ``split.group_by: column``
keeps together.

Other columns go into data/columns.csv, for `graft slices` and for expectations (``validate.extra``).
Folders around an image stay, but for those that all images share and those named after its split or class.
"""

import csv
import io
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from graft.bundle.content import but_it_is
from graft.core.errors import GraftError, did_you_mean, first_line
from graft.core.outside import own_path
from graft.data.folder.layout import COLUMNS_FILE, LONGEST_NAME, UNSAFE, folder_problem, group_folder
from graft.data.folder.photographs import is_image_file, is_leftover
from graft.data.folder.split_folders import split_of
from graft.data.sources.readers.reader import Images, Plan

_COLUMNS = ("path", "label", "split", "group")
_CSV, _PARQUET = (".csv", ".tsv"), (".parquet", ".pq")
_ROWS = 1 << 15  # of a Parquet file in memory at a time
_CHUNK = 1 << 20


def is_table(path: Path) -> bool:
    """Return whether a path is a table of images, going by its suffix."""
    return path.is_file() and path.suffix.lower() in (*_CSV, *_PARQUET)


class OtherTableError(GraftError):
    """A table with other columns or text than graft's own; it may say in its own way what images are."""


class MissingPathError(OtherTableError):
    """A table whose path is not there as it stands; it may be of another machine, or without its folder."""


@dataclass(frozen=True)
class _Row:
    """One row: its number (a line of a CSV file, else counted from 1), the image's place and what it is."""

    number: int
    path: str
    label: str
    split: str
    group: str
    more: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """A feed of the images that a table names; see the module's text."""

    path: Path

    def open(self, stack: ExitStack, limit: int) -> Plan:
        """Return the plan of what the table's images become in data/.

        Raises:
            GraftError: the table cannot be read or lacks a column; or, with the row's number and the value: a
                path that is no image file or is there twice, a label that cannot be a folder's name, a split
                that is none. ``limit`` plays no part: nothing is unpacked.
        """
        columns = self._columns()
        rows = list(self._rows(columns))
        if not rows:
            raise GraftError(f"{self.path} has no rows", "Give it one row per image")
        self._require_splits(rows)
        top = _common_folder(rows)
        sizes: dict[str, int] = {}
        sources: dict[str, _Row] = {}
        for row in rows:
            name = _target(row, top)
            if name in sources:
                raise self._error(row, f"'{row.path}' and row {sources[name].number} would both become '{name}'")
            sources[name] = row
            sizes[name] = self._size(row)

        def images() -> Images:
            for name, row in sources.items():
                yield name, self._pieces(row)

        more = [name for name in columns if name and name not in _COLUMNS]
        if not more:
            return Plan(sizes, images)
        notes = (f"Other columns of {self.path.name} are in data/{COLUMNS_FILE}: {', '.join(more)}",)
        text = io.StringIO()
        lines = csv.writer(text, lineterminator="\n")
        lines.writerow(["path", *more])
        lines.writerows([name, *row.more] for name, row in sources.items())
        return Plan(sizes, images, notes=notes, beside={COLUMNS_FILE: text.getvalue()})

    def _columns(self) -> list[str]:
        if not self._is_parquet and (found := but_it_is(self.path)) not in ("", ", but text"):
            raise GraftError(f"{self.path} is no table{found}", "Fetch it again, or name a table of path and label")
        names = self._parquet_names() if self._is_parquet else self._csv_header()
        for needed in ("path", "label"):
            if needed not in names:
                raise OtherTableError(
                    f"{self.path} has no column '{needed}': its columns are {', '.join(names) or 'none'}",
                    did_you_mean(needed, names, "Name its columns path, label and, if you like, split and group"),
                )
        if len(set(names)) < len(names):
            raise GraftError(f"{self.path} has a column twice: {', '.join(names)}", "Keep one of them")
        return names

    def _rows(self, columns: list[str]) -> Iterator[_Row]:
        folder = self.path.resolve().parent
        seen: dict[str, int] = {}
        cells = self._parquet_cells(columns) if self._is_parquet else self._csv_cells(columns)
        for number, cell in cells:
            try:
                text = {name: _text(cell.get(name)) for name in (*_COLUMNS, *columns)}
            except UnicodeDecodeError:
                raise self._error(_Row(number, "", "", "", ""), "a cell holds bytes that are not UTF-8") from None
            place = os.path.normpath(folder / own_path(text["path"]))
            more = tuple(text[name] for name in columns if name and name not in _COLUMNS)
            row = _Row(number, place, text["label"], text["split"], text["group"], more)
            if not text["path"]:
                raise self._error(row, "the path is empty")
            if place in seen:
                raise self._error(row, f"'{text['path']}' is in row {seen[place]} already")
            seen[place] = number
            if not is_image_file(place):
                raise self._error(row, f"'{text['path']}' is no image, going by its name")
            self._require_names(row)
            yield row

    def _require_names(self, row: _Row) -> None:
        if row.split and not split_of(row.split):
            raise self._error(row, f"'{row.split}' is no split", "Use train, val or test")
        problem = folder_problem(row.label)
        if problem:
            better = UNSAFE.sub("_", row.label).strip(" ._")[:40]
            usable = better and not folder_problem(better)
            fix = f"Call the class '{better}', for example" if usable else "Give the class another name"
            raise self._error(row, f"the label '{row.label}' cannot be a folder's name: {problem}", fix)
        if len(group_folder(row.group).encode()) > LONGEST_NAME:
            raise self._error(row, f"the group '{row.group[:40]}...' is too long for a folder's name")

    def _require_splits(self, rows: list[_Row]) -> None:
        with_split = [row for row in rows if row.split]
        if not with_split:
            return
        if len(with_split) < len(rows):
            row = next(row for row in rows if not row.split)
            raise self._error(row, "the split is empty, and other rows have one", "Fill in all of them, or none")
        found = {split_of(row.split) for row in rows}
        if "train" not in found or len(found) < 2:
            raise GraftError(
                f"{self.path} has a split column with nothing but {', '.join(sorted(found))}",
                "Give rows for train and for test (or val), or remove the column: graft then makes the split",
            )

    def _size(self, row: _Row) -> int:
        try:
            status = Path(row.path).stat()
        except (OSError, ValueError) as error:  # ValueError: a NUL in the path
            reason = error.strerror if isinstance(error, OSError) else error
            refused = self._error(row, f"{row.path!r} cannot be read: {reason}")
            raise MissingPathError(refused.what, refused.fix) from None
        if not stat.S_ISREG(status.st_mode):
            raise self._error(row, f"'{row.path}' is no file")
        return status.st_size

    def _pieces(self, row: _Row) -> Iterator[bytes]:
        try:
            with Path(row.path).open("rb") as stream:
                while piece := stream.read(_CHUNK):
                    yield piece
        except OSError as error:
            raise self._error(row, f"'{row.path}' cannot be read: {error.strerror}") from None

    @property
    def _is_parquet(self) -> bool:
        return self.path.suffix.lower() in _PARQUET

    def _parquet(self) -> Any:
        import pyarrow.parquet as pq

        try:
            return pq.ParquetFile(self.path)
        except Exception:  # its reader raises all kinds on damaged files
            raise GraftError(
                f"{self.path} is not a whole Parquet file{but_it_is(self.path)}", "Write it again"
            ) from None

    def _parquet_names(self) -> list[str]:
        """Return the columns that are taken: images as bytes, lists and the like are none."""
        import pyarrow.types as kinds

        return [
            field.name
            for field in self._parquet().schema_arrow
            if field.name in _COLUMNS
            or not (kinds.is_nested(field.type) or kinds.is_binary(field.type) or kinds.is_large_binary(field.type))
        ]

    def _parquet_cells(self, columns: list[str]) -> Iterator[tuple[int, dict[str, Any]]]:
        number = 0
        table = self._parquet()
        try:
            for batch in table.iter_batches(_ROWS, columns=columns):
                for cells in batch.to_pylist():
                    number += 1
                    yield number, cells
        except Exception as error:  # also of dates that Python has not, and of text in no encoding
            raise GraftError(
                f"{self.path} is damaged after row {number}: {first_line(error)}", "Write it again"
            ) from None

    def _csv_header(self) -> list[str]:
        return next(self._csv(), (1, []))[1]

    def _csv_cells(self, columns: list[str]) -> Iterator[tuple[int, dict[str, Any]]]:
        for number, cells in self._csv():
            if number == 1 or not cells:
                continue
            if len(cells) != len(columns):
                raise GraftError(
                    f"{self.path}, row {number}: {len(cells)} cells instead of {len(columns)}",
                    "Put a cell that holds a comma into quotation marks",
                )
            yield number, dict(zip(columns, cells, strict=True))

    def _csv(self) -> Iterator[tuple[int, list[str]]]:
        """Yield the lines with their numbers; the first is the header."""
        number = 0
        try:
            with self.path.open(encoding="utf-8-sig", newline="") as stream:
                first = stream.readline()
                separator = max(",;\t", key=first.count)
                stream.seek(0)
                lines = csv.reader(stream, delimiter=separator, strict=True)
                for cells in lines:
                    number = lines.line_num if number else 1
                    yield number, [cell.strip() for cell in cells] if number == 1 else cells
        except (csv.Error, UnicodeDecodeError) as error:
            kind = OtherTableError if isinstance(error, UnicodeDecodeError) else GraftError
            raise kind(f"{self.path} cannot be read after row {number}: {error}", "Save it as CSV in UTF-8") from None
        except OSError as error:
            raise GraftError(f"{self.path} cannot be read: {error.strerror}", "Check its permissions") from None

    def _error(self, row: _Row, what: str, fix: str = "Correct that row") -> GraftError:
        return GraftError(f"{self.path}, row {row.number}: {what}", fix)


def _text(cell: Any) -> str:
    """Return a cell as text. Parquet files made from tables with gaps hold numbers as 3.0 and gaps as NaN; those of
    older programs hold text as bytes.

    Raises:
        UnicodeDecodeError: such bytes are not UTF-8.
    """
    if cell is None or cell != cell:
        return ""
    if isinstance(cell, bytes):
        cell = cell.decode("utf-8")
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    return str(cell).strip()


def _common_folder(rows: list[_Row]) -> str:
    top = os.path.dirname(rows[0].path)  # noqa: PTH120 - strings, to save memory
    for row in rows:
        if not row.path.startswith(f"{top}{os.sep}"):
            top = os.path.commonpath([top, row.path])
    return top


def _target(row: _Row, top: str) -> str:
    """Return the image's name in data/."""
    *folders, name = PurePath(os.path.relpath(row.path, top)).parts
    split = split_of(row.split)
    for known in (row.split, row.label):
        if folders and known and folders[0] == known:
            del folders[0]
    group = group_folder(row.group) if row.group else ""
    visible = [folder for folder in folders if not is_leftover(folder)]  # a scan passes over these
    return "/".join(part for part in (split, row.label, group, *visible, name) if part)
