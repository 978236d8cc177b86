"""The base of all readers: it finds files by name in opened sources, and plans what will be written."""

import gzip
import io
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from pydantic import BaseModel, ConfigDict

from graft.core.errors import GraftError
from graft.data.archives.open_archive import Member, Source, damage

_PIECE = 1 << 16
Images = Iterator[tuple[str, Iterable[bytes]]]


@dataclass(frozen=True)
class Plan:
    """The plan of what an import writes into data/.

    Attributes:
        sizes: bytes of every image by its name in data/; where they are not known yet, not less than they are.
        images: starts over and yields every name of ``sizes`` with the image's bytes in pieces. The pieces of
            one have to be taken before the next is asked for.
        left_out: names of files that were there and are not taken, each with the reason; ``""`` where it is no
            image, going by its suffix.
        notes: sentences to print for the user.
        beside: text of files that lie beside the images in data/, by name.
        hint: what to do where the images turn out to be in no classes, by default to put them into class folders.
    """

    sizes: Mapping[str, int]
    images: Callable[[], Images]
    left_out: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    beside: Mapping[str, str] = field(default_factory=dict)
    hint: str = ""


class Files:
    """The files of one or several opened sources as one list.

    A file is found by the end of its name, in whole folders: ``labels.csv`` finds ``package/data/labels.csv``.

    Raises:
        GraftError: a source is damaged or unsafe, or holds a file twice.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        self._members: list[tuple[Source, Member]] = []
        for source in sources:
            members = [member for member in source.members() if member.name not in source.unpacked]
            repeated = [name for name, count in Counter(m.name for m in members).items() if count > 1]
            if repeated:
                raise GraftError(
                    f"{source.path} holds '{repeated[0]}' more than once", "Pack it again with each file once"
                )
            self._members += [(source, member) for member in members]
        self._sources = sources

    @property
    def where(self) -> str:
        """The sources' paths, for messages."""
        return ", ".join(str(source.path) for source in self._sources)

    @property
    def is_folder(self) -> bool:
        """Whether they lie in one folder on the disk."""
        return len(self._sources) == 1 and self._sources[0].path.is_dir()

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes of every file by name."""
        return {member.name: member.size for _, member in self._members}

    @property
    def left_out(self) -> dict[str, str]:
        """Names of files that cannot be taken, with the reason: links that lead nowhere, for example."""
        return {name: why for source in self._sources for name, why in getattr(source, "left_out", {}).items()}

    def find(self, *ends: str) -> str | None:
        """Return the name of the first file that ends so, or None; an earlier end wins over a later one."""
        for end in ends:
            for _, member in self._members:
                if f"/{member.name}".endswith(f"/{end}"):
                    return member.name
        return None

    def get(self, *ends: str) -> str:
        """Return the name of the first file that ends so. Raises GraftError where there is none."""
        name = self.find(*ends)
        if name is None:
            raise GraftError(f"{self.where} holds no '{ends[0]}'", "Check that it is the archive you meant")
        return name

    def read(self, names: Iterable[str]) -> Iterator[tuple[str, Iterator[bytes]]]:
        """Yield the bytes of the files so named, in pieces, in the sources' own order."""
        for source, wanted in self._by_source(names):
            for member, pieces in source.read(wanted):
                yield member.name, pieces

    def open(self, names: Iterable[str]) -> Iterator[tuple[str, IO[bytes]]]:
        """Yield each of the files so named as a stream, unpacked where it is gzip's; in the sources' own order.

        A stream that ends early, or is damaged, raises GraftError while it is read.
        """
        for source, wanted in self._by_source(names):
            for member, pieces in source.read(wanted):
                if member.name.endswith(".gz"):
                    pieces = _unpacked(pieces, source.path, member.name)
                yield member.name, io.BufferedReader(_Pieces(pieces), _PIECE)

    def _by_source(self, names: Iterable[str]) -> Iterator[tuple[Source, set[str]]]:
        wanted = set(names)
        for source in self._sources:
            here = {member.name for owner, member in self._members if owner is source and member.name in wanted}
            if here:
                yield source, here

    def text(self, name: str) -> str:
        """Return a small file's text. Raises GraftError where it is not UTF-8."""
        for _, stream in self.open([name]):
            try:
                return stream.read().decode("utf-8-sig")
            except UnicodeDecodeError:
                raise GraftError(f"'{name}' in {self.where} is not text in UTF-8", "Save it as UTF-8") from None
        raise GraftError(f"{self.where} holds no '{name}'", "Check that it is the archive you meant")

    def copy(self, targets: Mapping[str, str]) -> Plan:
        """Return a plan to take the files so named, bytes as they are, to their names in data/.

        Raises:
            GraftError: one of them is not there, or two would get one name.
        """
        sizes = self.sizes
        sources: dict[str, str] = {}
        for name, target in targets.items():
            if name not in sizes:
                raise GraftError(f"{self.where} holds no '{name}'", "Fetch or unpack it again")
            if sources.setdefault(target, name) != name:
                raise GraftError(
                    f"'{sources[target]}' and '{name}' in {self.where} would both become '{target}'",
                    "Leave one of them out",
                )

        def images() -> Images:
            for name, pieces in self.read(targets):
                yield targets[name], pieces

        return Plan({target: sizes[name] for name, target in targets.items()}, images)


class Reader(BaseModel, ABC):
    """A layout that data sets are published in, with the settings of one data set.

    A subclass has a ``kind``, by which catalogue.yaml names it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    @abstractmethod
    def fits(self, files: Files) -> bool:
        """Return whether the files seem to have this layout."""

    @abstractmethod
    def plan(self, files: Files, classes: Sequence[str]) -> Plan:
        """Return the plan of what of the files goes where.

        Args:
            files: those of the archives, in any order and below any folders.
            classes: names of the classes; where images have class numbers, in the numbers' order.

        Raises:
            GraftError: something is missing, damaged, or not as this layout has it.
        """


def damaged(name: str, files: Files, why: str) -> GraftError:
    """Return the error for a file whose content is not as its format has it."""
    return GraftError(f"'{name}' in {files.where} is damaged: {why}", "Fetch it again")


def label_of(number: int, classes: Sequence[str], name: str, files: Files) -> str:
    """Return the class with that number. Raises GraftError where there is none."""
    if not 0 <= number < len(classes):
        raise damaged(name, files, f"it has a class number {number}, and there are {len(classes)} classes")
    return classes[number]


def _unpacked(pieces: Iterator[bytes], path: Path, name: str) -> Iterator[bytes]:
    with damage(path, name), gzip.GzipFile(fileobj=io.BufferedReader(_Pieces(pieces), _PIECE)) as stream:
        while piece := stream.read(_PIECE):
            yield piece


class _Pieces(io.RawIOBase):
    """Pieces of bytes as a stream."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest:
            self._rest = memoryview(next(self._pieces, b""))
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size
