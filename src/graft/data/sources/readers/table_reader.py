"""A table in the archive that names each image, its class and its split, such as ELPV's labels.csv."""

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Literal

from pydantic import Field

from graft.data.folder.split_folders import split_of
from graft.data.sources.readers.reader import Files, Plan, Reader, damaged


class TableReader(Reader):
    """A table without a header, its cells separated by spaces; paths are relative to the table.

    Attributes:
        table: the table's name.
        columns: what its cells are, in order; ``path``, ``label`` and ``split`` are read.
        threshold: the label is a number, and from here up the image belongs to the second of two classes.
    """

    kind: Literal["table"]
    table: str
    columns: list[str] = Field(min_length=2)
    threshold: float | None = None

    def fits(self, files: Files) -> bool:
        return files.find(self.table) is not None

    def plan(self, files: Files, classes: Sequence[str]) -> Plan:
        table = files.get(self.table)
        targets = {}
        for number, cells in self._rows(table, files):
            place = f"{table}, line {number}"
            name = (PurePosixPath(table).parent / cells["path"]).as_posix()
            label = self._label(cells["label"], classes, place, files)
            folder = label
            if "split" in cells:
                if not split_of(cells["split"]):
                    raise damaged(place, files, f"'{cells['split']}' is no split")
                folder = f"{split_of(cells['split'])}/{label}"
            if name in targets:
                raise damaged(place, files, f"'{cells['path']}' is there twice")
            targets[name] = f"{folder}/{PurePosixPath(name).name}"
        return files.copy(targets)

    def _rows(self, table: str, files: Files) -> Iterator[tuple[int, dict[str, str]]]:
        for number, line in enumerate(files.text(table).splitlines(), 1):
            cells = line.split()
            if not cells:
                continue
            if len(cells) != len(self.columns):
                raise damaged(table, files, f"line {number} has {len(cells)} cells, not {len(self.columns)}")
            yield number, dict(zip(self.columns, cells, strict=True))

    def _label(self, cell: str, classes: Sequence[str], place: str, files: Files) -> str:
        if self.threshold is None:
            if cell not in classes:
                raise damaged(place, files, f"'{cell}' is no class")
            return cell
        try:
            return classes[float(cell) >= self.threshold]
        except ValueError:
            raise damaged(place, files, f"'{cell}' is no number") from None
