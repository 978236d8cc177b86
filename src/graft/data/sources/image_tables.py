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
import re
import stat
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import NamedTuple

from graft.bundle.content import but_it_is
from graft.core.errors import GraftError, did_you_mean
from graft.core.outside import own_path
from graft.data.folder.layout import COLUMNS_FILE, LONGEST_NAME, folder_problem, group_folder, name_instead
from graft.data.folder.photographs import is_image_file, is_leftover
from graft.data.folder.split_folders import split_of
from graft.data.sources.readers.reader import Images, Plan
from graft.data.sources.table_rows import COLUMNS, CSV, PARQUET, Rows, rows_of

_CHUNK = 1 << 20


def is_table(path: Path) -> bool:
    """Return whether a path is a table of images, going by its suffix."""
    return path.is_file() and path.suffix.lower() in (*CSV, *PARQUET)


class OtherTableError(GraftError):
    """A table with other columns or text than graft's own; it may say in its own way what images are."""


class MissingPathError(OtherTableError):
    """A table whose path is not there as it stands; it may be of another machine, or without its folder."""


class _Row(NamedTuple):
    """One row: its number (a line of a CSV file, else counted from 1), the image's place and what it is."""

    number: int
    path: str = ""
    label: str = ""
    split: str = ""
    group: str = ""
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
        if not self._is_parquet and (found := but_it_is(self.path)) not in ("", ", but text"):
            raise GraftError(f"{self.path} is no table{found}", "Fetch it again, or name a table of path and label")
        try:
            with self.path.open("rb") as stream:
                numbered = rows_of(str(self.path), stream, strict=True)
                columns = self._checked(next(numbered, (1, []))[1])
                rows = list(self._rows(columns, numbered))
        except OSError as error:
            raise GraftError(f"{self.path} cannot be read: {error.strerror}", "Check its permissions") from None
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

        more = [name for name in columns if name and name not in COLUMNS]
        if not more:
            return Plan(sizes, images)
        notes = (f"Other columns of {self.path.name} are in data/{COLUMNS_FILE}: {', '.join(more)}",)
        text = io.StringIO()
        lines = csv.writer(text, lineterminator="\n")
        lines.writerow(["path", *more])
        lines.writerows([name, *row.more] for name, row in sources.items())
        return Plan(sizes, images, notes=notes, beside={COLUMNS_FILE: text.getvalue()})

    def _checked(self, names: list[str]) -> list[str]:
        for needed in ("path", "label"):
            if needed not in names:
                raise OtherTableError(
                    f"{self.path} has no column '{needed}': its columns are {', '.join(names) or 'none'}",
                    did_you_mean(needed, names, "Name its columns path, label and, if you like, split and group"),
                )
        if len(set(names)) < len(names):
            raise GraftError(f"{self.path} has a column twice: {', '.join(names)}", "Keep one of them")
        return names

    def _rows(self, columns: list[str], numbered: Rows) -> Iterator[_Row]:
        folder = self.path.resolve().parent
        seen: dict[str, int] = {}
        for number, cells in numbered:
            if len(cells) != len(columns):
                raise GraftError(
                    f"{self.path}, row {number}: {len(cells)} cells instead of {len(columns)}",
                    "Put a cell that holds a comma into quotation marks",
                )
            cell = {name: text for name, text in zip(columns, cells, strict=True) if name}
            row = _Row(number, **{name: cell.pop(name, "") for name in COLUMNS}, more=tuple(cell.values()))
            if re.search(r"[\udc80-\udcff]", "".join(cells)):
                kind = GraftError if self._is_parquet else OtherTableError
                raise self._error(row, "a cell holds bytes that are not UTF-8", "Save it in UTF-8", kind)
            if not row.path:
                raise self._error(row, "the path is empty")
            place = os.path.normpath(folder / own_path(row.path))
            if place in seen:
                raise self._error(row, f"'{row.path}' is in row {seen[place]} already")
            seen[place] = number
            if not is_image_file(place):
                raise self._error(row, f"'{row.path}' is no image, going by its name")
            if row.split and not split_of(row.split):
                raise self._error(row, f"'{row.split}' is no split", "Use train, val or test")
            if problem := folder_problem(row.label):
                what = f"the label '{row.label}' cannot be a folder's name: {problem}"
                raise self._error(row, what, name_instead(row.label))
            if len(group_folder(row.group).encode()) > LONGEST_NAME:
                raise self._error(row, f"the group '{row.group[:40]}...' is too long for a folder's name")
            yield row._replace(path=place)

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
            raise self._error(row, f"{row.path!r} cannot be read: {reason}", kind=MissingPathError) from None
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
        return self.path.suffix.lower() in PARQUET

    def _error(
        self, row: _Row, what: str, fix: str = "Correct that row", kind: type[GraftError] = GraftError
    ) -> GraftError:
        return kind(f"{self.path}, row {row.number}: {what}", fix)


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
