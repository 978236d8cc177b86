"""Find what `graft predict` is pointed at: files, folders, patterns and archives, as a stream of named photographs.

Nothing is held in memory but the names of one folder, of one pattern, or of one archive.
"""

import glob
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from graft.bundle.images import SUFFIXES, UnreadableImageError
from graft.core.errors import GraftError
from graft.data.archives.open_archive import open_source
from graft.data.folder.photographs import images_below, is_image_file

# A file larger than this is no photograph: the 100 million pixels that models take are 300 MB uncompressed.
MAX_BYTES = 512 * 1024**2


@dataclass(frozen=True)
class Photograph:
    """One image.

    Attributes:
        name: its path as it was given; in an archive, the archive's with the member's behind it.
        read: gives the bytes of its file, or raises UnreadableImageError.
        key: names the file as it was just before it is read, see :func:`file_key`.
        path: of its file; None in an archive.
    """

    name: str
    read: Callable[[], bytes]
    key: str = ""
    path: Path | None = None


# Of a photograph's name and key.
Wanted = Callable[[str, str], bool]


def all_of_them(name: str, key: str) -> bool:
    """Return True: every photograph is wanted."""
    return True


class PhotographSource(Protocol):
    """A source of photographs."""

    def names(self) -> Iterator[str]:
        """Yield the names of all, in order, without reading any."""
        ...

    def read(self, wanted: Wanted = all_of_them) -> Iterator[Photograph]:
        """Yield the photographs wanted, in order; ``wanted`` is asked once for each, in order too."""
        ...


class PhotographFiles:
    """Image files on the disk."""

    def __init__(self, paths: Callable[[], Iterator[Path]]) -> None:
        self._paths = paths

    def names(self) -> Iterator[str]:
        """Yield the names; see :class:`PhotographSource`."""
        return map(_printable, self._paths())

    def read(self, wanted: Wanted = all_of_them) -> Iterator[Photograph]:
        """Yield the photographs wanted, see :class:`PhotographSource`; a file is read when its photograph is."""
        for path in self._paths():
            name, key = _printable(path), file_key(path)
            if wanted(name, key):
                yield photograph_of(path, name, key)


class Archive:
    """The images in a zip or tar file, which is read from front to back and never unpacked.

    What is damaged, or would leave the folder it is unpacked into, ends the archive there: the row in its place
    carries the archive's name and says why.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def names(self) -> Iterator[str]:
        """Yield the names; see :class:`PhotographSource`."""
        try:
            for member in self._images():
                yield self._name_of(member)
        except GraftError:
            yield _printable(self._path)

    def read(self, wanted: Wanted = all_of_them) -> Iterator[Photograph]:
        """Yield the photographs wanted, see :class:`PhotographSource`; a photograph's bytes have been read by then."""
        place = file_key(self._path)
        try:
            # A tar file may hold a name more than once; then all of that name are read, in the same order.
            times: Counter[str] = Counter()
            chosen = {}
            for name in self._images():
                times[name] += 1
                key = _member_key(place, name, times[name])
                if wanted(self._name_of(name), key):
                    chosen[key] = name
            times.clear()
            with open_source(self._path, guess=True) as source:
                for member, chunks in source.read(set(chosen.values())):
                    times[member.name] += 1
                    key = _member_key(place, member.name, times[member.name])
                    if key in chosen:
                        yield Photograph(self._name_of(member.name), _take(chunks, member.size), key)
        except GraftError as error:
            name = _printable(self._path)
            if wanted(name, place):
                yield Photograph(name, _broken(error.what), place)

    def _images(self) -> list[str]:
        with open_source(self._path, guess=True) as source:
            return source.images_among([member.name for member in source.members()])

    def _name_of(self, member: str) -> str:
        return f"{_printable(self._path)}/{member}"


def find_photographs(texts: Sequence[str]) -> list[PhotographSource]:
    """Return where the photographs are that the arguments name; each photograph is in one of them only.

    Args:
        texts: files, folders (all images at any depth), archives, and patterns with ``*``, ``?``, ``[...]`` or
            ``**``.

    Raises:
        GraftError: there is nothing at one of them.
    """
    found: list[PhotographSource] = []
    folders: list[str] = []
    named: set[str] = set()

    def is_new(path: Path) -> bool:
        place = os.path.abspath(path)  # noqa: PTH100  # links stay links, so that names stay as they were given
        return place not in named and not any(place.startswith(folder) for folder in folders)

    def add(path: Path) -> None:
        if not is_new(path):
            return
        place = os.path.abspath(path)  # noqa: PTH100
        if path.is_dir():
            earlier, before = frozenset(named), tuple(folders)
            found.append(PhotographFiles(lambda: _below(path, earlier, before)))
            folders.append(place.rstrip(os.sep) + os.sep)
        else:
            found.append(Archive(path) if _is_archive(path) else PhotographFiles(lambda: iter([path])))
            named.add(place)

    for text in texts:
        path = Path(text)
        if path.exists():
            add(path)
            continue
        matches = sorted(glob.iglob(text, recursive=True)) if glob.has_magic(text) else []  # noqa: PTH207
        if not matches:
            raise GraftError(
                f"There is no {text}",
                "Name files, folders, archives (.zip, .tar) or a pattern in quotes: 'photos/**/*.jpg'",
            )
        # As if each had been named, except that what is no image is not meant.
        others: list[Path] = []
        images: list[Path] = []
        for path in map(Path, matches):
            (images if is_image_file(path) and path.is_file() else others).append(path)
        images = [path for path in images if is_new(path)]
        if images:
            found.append(PhotographFiles(lambda images=images: iter(images)))  # type: ignore[misc]
            named.update(os.path.abspath(path) for path in images)  # noqa: PTH100
        for path in others:
            if path.is_dir() or _is_archive(path):
                add(path)
    return found


def photograph_of(path: Path, name: str, key: str = "") -> Photograph:
    """Return the photograph that a file is, which is read when it is asked for."""
    return Photograph(name, partial(_read_file, path), key, path)


def file_key(path: Path) -> str:
    """Return text that names a file as it is now: its absolute path, size, and times of the last changes.

    The time of the last change of the entry is part of it, since programs that copy set the other one back.
    """
    place = os.fsencode(os.path.abspath(path)).decode("utf-8", "backslashreplace")  # noqa: PTH100
    try:
        status = path.stat()
    except OSError:
        return f"{place}|gone"
    return f"{place}|{status.st_size}|{status.st_mtime_ns}|{status.st_ctime_ns}"


def _member_key(archive: str, name: str, number: int) -> str:
    return f"{archive}|{name}|{number}"


def _below(folder: Path, named: frozenset[str], folders: tuple[str, ...]) -> Iterator[Path]:
    for path in images_below(folder):
        place = os.path.abspath(path)  # noqa: PTH100
        if place not in named and not place.startswith(folders):
            yield path


def _is_archive(path: Path) -> bool:
    if path.suffix.lower() in SUFFIXES or not path.is_file():
        return False
    try:
        with open_source(path):
            return True
    except GraftError:
        return False  # a file that will not be readable as an image either, and is reported as one


def _read_file(path: Path) -> bytes:
    from graft.bundle.paths import read_file

    try:
        size = path.stat().st_size
    except OSError:
        size = 0  # read_file says what is wrong
    if size > MAX_BYTES:
        raise UnreadableImageError(f"{size / 1e6:.0f} MB are too many for a photograph")
    return read_file(path)


def _take(chunks: Iterator[bytes], size: int) -> Callable[[], bytes]:
    """Read an archive's member now; return a function that returns the bytes or raises for a broken one."""
    if size > MAX_BYTES:
        return _broken(f"{size / 1e6:.0f} MB are too many for a photograph")
    try:
        data = b"".join(chunks)
    except GraftError as error:
        return _broken(error.what)
    return lambda: data


def _broken(problem: str) -> Callable[[], bytes]:
    def read() -> bytes:
        raise UnreadableImageError(problem)

    return read


def _printable(path: Path) -> str:
    """Return a path as text, also where its bytes are no text."""
    return os.fsencode(path).decode(errors="replace")
