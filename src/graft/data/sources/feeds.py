"""Feeds of images to import: folders and archives, tables of images, images in Parquet files."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from graft.core.errors import GraftError
from graft.data.archives.nested_source import with_archives_inside
from graft.data.archives.open_archive import open_source
from graft.data.sources.image_tables import MissingPathError, OtherTableError, Table, is_table
from graft.data.sources.parquet_images import parquet_images
from graft.data.sources.readers.folders import FoldersReader
from graft.data.sources.readers.lists import UnsaidError
from graft.data.sources.readers.reader import Files, Plan, Reader
from graft.data.sources.table_rows import SPREADSHEETS, SUFFIXES


class Feed(Protocol):
    """A source of images to import."""

    def open(self, stack: ExitStack, limit: int) -> Plan:
        """Return the plan of what will be written into data/; what has to stay open until then closes with ``stack``.

        Raises GraftError: what is there cannot be read, or unpacks to more than ``limit`` bytes.
        """


@dataclass(frozen=True)
class Copies:
    """A feed of folders and archives that one reader knows how to read.

    Attributes:
        paths: where each lies, and the name it was published under.
        reader: of their layout.
        classes: names of the classes in the order of their numbers, where the reader needs them.
        encoding: of names that do not say theirs; by default UTF-8.
        scratch: a folder for archives that lie in archives.
    """

    paths: Mapping[Path, str]
    reader: Reader
    classes: Sequence[str] = ()
    encoding: str | None = None
    scratch: Path | None = None

    def open(self, stack: ExitStack, limit: int) -> Plan:
        """Return the plan; see :class:`Feed`."""
        sources = [
            stack.enter_context(open_source(path, limit, alone, lenient=True, encoding=self.encoding))
            for path, alone in self.paths.items()
        ]
        if self.scratch:
            (source,) = sources
            sources = with_archives_inside(source, stack, limit, self.encoding, self.scratch)
        return self.reader.plan(Files(sources), self.classes)


@dataclass(frozen=True)
class AnyTable:
    """A feed of the images that a table names: in graft's columns, or in those that tables of other people have."""

    path: Path
    encoding: str | None = None

    def open(self, stack: ExitStack, limit: int) -> Plan:
        """Return the plan; see :class:`Feed`."""
        refused = None
        if is_table(self.path):
            try:
                return Table(self.path).open(stack, limit)
            except OtherTableError as error:
                refused = error
        whole = isinstance(refused, MissingPathError)  # with graft's own columns, all or none
        reader = FoldersReader(table=self.path.name, encoding=self.encoding, whole=whole)
        try:
            return Copies({self.path.resolve().parent: ""}, reader, encoding=self.encoding).open(stack, limit)
        except UnsaidError as error:
            raise refused or error from None


def feed_of(path: Path, encoding: str | None, by_name: bool, scratch: Path) -> Feed:
    """Return the feed of a user's own folder, archive or table, by what it is.

    Args:
        by_name: whether the files' names say the classes.
        scratch: a folder for archives that lie in archives.

    Raises:
        GraftError: it is a spreadsheet.
    """
    if shards := parquet_images(path):
        return shards
    suffix = path.suffix.lower() if path.is_file() else ""
    if suffix in SPREADSHEETS:
        raise GraftError(f"{path} is a spreadsheet", "Save it as CSV in UTF-8 beside the images, and import that")
    if suffix in SUFFIXES or is_table(path):
        return AnyTable(path, encoding)
    reader = FoldersReader(by_name=by_name, encoding=encoding)
    return Copies({path: ""}, reader, encoding=encoding, scratch=scratch)
