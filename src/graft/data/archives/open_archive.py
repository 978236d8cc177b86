"""Folders, zip, tar and Debian archives behind one interface: a list of members, then their bytes as streams.

    with open_source(path) as source:
        names = [member.name for member in source.members()]
        for member, chunks in source.read(names):
            ...

What could write outside the folder it is unpacked into (``..``, absolute names, links, device files) is an
error that names the member. What systems leave behind (hidden files, ``__MACOSX``, ``@eaDir``) is passed over, and
listed as left out. Nothing is ever held in memory whole.
"""

import abc
import contextlib
import lzma
import os
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from shlex import quote
from typing import IO, Self

from graft.bundle.content import but_it_is, content_name
from graft.core.errors import GraftError, did_you_mean
from graft.core.outside import is_plain
from graft.data.archives.name_encoding import read_name
from graft.data.folder.photographs import LEFTOVER, images_among, is_image_file, is_in_dvc_cache, is_leftover

CHUNK = 1 << 20
_PACKED = (b"Rar!", b"7z\xbc\xaf", b"\x28\xb5\x2f\xfd")  # RAR, 7z, Zstandard
_DRIVE = re.compile(r"^[A-Za-z]:")
_DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    ValueError,  # tarfile on header fields that are no numbers
    RecursionError,  # os.walk in a thousand folders in each other
)


@dataclass(frozen=True)
class Member:
    """One regular file of a source: its name with forward slashes, and its size unpacked."""

    name: str
    size: int

    @property
    def parts(self) -> tuple[str, ...]:
        """The folders' names and, last, the file's."""
        return PurePosixPath(self.name).parts


class Source(abc.ABC):
    """A folder or an archive that can be imported from; errors are GraftErrors that name the path.

    Attributes:
        left_out: names of files and folders that are not taken, with the reason.
        unpacked: names of archives in it whose members stand for them.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.left_out: dict[str, str] = {}
        self.unpacked: set[str] = set()

    def passes_over(self, name: str) -> bool:
        """Return whether a member is what a system left behind, or lies in such a folder; that is listed then."""
        parts = name.split("/")
        for number, part in enumerate(parts, 1):
            if is_leftover(part):
                self.left_out["/".join(parts[:number])] = LEFTOVER
                return True
        return False

    @abc.abstractmethod
    def members(self) -> list[Member]:
        """Return every file that is not a system's leftover; duplicates stay in."""

    def images_among(self, names: Collection[str]) -> list[str]:
        """Return which of the members so named are images, see :func:`graft.data.folder.photographs.images_among`."""
        return images_among(names, lambda some: ((member.name, pieces) for member, pieces in self.read(some)))

    @abc.abstractmethod
    def read(self, names: Collection[str]) -> Iterator[tuple[Member, Iterator[bytes]]]:
        """Yield the bytes of the members so named, in pieces, in the source's own order.

        The pieces of one member have to be taken before the next member is asked for.
        """

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:  # noqa: B027 - most have nothing to close
        """Close the file, where one is open."""


def open_source(
    path: Path,
    limit: int | None = None,
    alone: str = "",
    lenient: bool = False,
    encoding: str | None = None,
    guess: bool = False,
) -> Source:
    """Open the folder or archive at ``path``; what an archive is follows from its bytes, not from its name.

    Args:
        path: a folder, or a zip, whl, tar, tar.gz, tar.bz2, tar.xz or deb file.
        limit: bytes that its members may come to unpacked, for example the free disk space.
        lenient: whether a folder's files that cannot be taken are left out and listed, instead of an error.
        encoding: of names that do not say theirs; by default UTF-8.
        guess: whether names in a zip file that are in no known encoding are read somehow, not refused.
        alone: name for the one member of a file that is no archive; without a name such a file is an error.

    Raises:
        GraftError: there is nothing at ``path``, it cannot be read, or it is neither folder nor archive.
    """
    if path.is_dir():
        return FolderSource(path, lenient, encoding)
    if not path.is_file():
        beside = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        fix = did_you_mean(path.name, beside, "Name a folder of photographs, or a zip or tar archive of one")
        raise GraftError(f"There is no {path}", fix)
    from graft.data.archives.tar_source import TarSource, is_tar

    with damage(path):
        # In this order: a zip's mark is sought at the end of the file, where a tar may hold a zip.
        if is_tar(path):
            return TarSource(path, limit, encoding)
        with path.open("rb") as stream:
            start = stream.read(8)
        if start == b"!<arch>\n":
            from graft.data.archives.debian import DebianSource

            return DebianSource(path, limit, encoding)
        if start.startswith(b"PK\3\4") or zipfile.is_zipfile(path):
            from graft.data.archives.zip_source import ZipSource

            return ZipSource(path, limit, encoding, guess)
    if alone:
        return LoneFile(path, alone)
    if start.startswith(_PACKED):
        raise GraftError(f"{path} is {content_name(start)}, which graft does not read", "Unpack it and name the folder")
    if is_image_file(path):
        raise GraftError(f"{path} is one photograph", "Name the folder around the class folders")
    raise GraftError(
        f"{path} is neither a folder nor an archive that can be read{but_it_is(path)}",
        "If it should be a zip or tar archive, fetch it again: it may be cut off",
    )


class FolderSource(Source):
    """A folder; links to files inside it, or in DVC's cache, are followed, others are refused, or left out."""

    def __init__(self, path: Path, lenient: bool = False, encoding: str | None = None) -> None:
        super().__init__(path)
        self._lenient, self._encoding = lenient, encoding
        self._names_on_disk: dict[str, str] = {}  # of members whose names are written in that encoding

    def members(self) -> list[Member]:
        root = self.path.resolve()
        found, linked = [], list[str]()
        with damage(self.path):
            for folder, subfolders, files in os.walk(root, onerror=_raise):
                place = Path(folder).relative_to(root)
                taken = {name for name in (*subfolders, *files) if not self.passes_over((place / name).as_posix())}
                subfolders[:] = sorted(name for name in subfolders if name in taken)
                for name in (*subfolders, *sorted(name for name in files if name in taken)):
                    path = Path(folder, name)
                    relative = path.relative_to(root).as_posix()
                    if self._encoding and not is_utf_8(relative):
                        written, relative = relative, read_name(relative, self._encoding, self.path)
                        self._names_on_disk[relative] = written
                    if self._lenient and (reason := _why_not_taken(path, relative, root)):
                        self.left_out[relative.encode("utf-8", "backslashreplace").decode()] = reason
                        continue
                    if path.is_symlink() and (path.is_dir() or _leads_out(path.resolve(), root)):
                        linked.append(relative)
                        continue
                    status = path.stat()
                    if stat.S_ISREG(status.st_mode):
                        found.append(Member(safe_name(relative, self.path), status.st_size))
                    elif not stat.S_ISDIR(status.st_mode):
                        raise special(relative, self.path)
        if linked:
            few = ", ".join(linked[:3]) + (", ..." if len(linked) > 3 else "")
            raise GraftError(
                f"{self.path} holds links to folders, or to files outside of it, which are not followed: "
                f"{len(linked):,} ({few})",
                f"Make a copy that holds what they lead to, and import that: cp -rL {quote(str(self.path))} COPY",
            )
        return found

    def read(self, names: Collection[str]) -> Iterator[tuple[Member, Iterator[bytes]]]:
        for name in sorted(names):
            place = self.path / self._names_on_disk.get(name, name)
            with damage(self.path), place.open("rb") as stream:
                member = Member(name, os.fstat(stream.fileno()).st_size)
                yield member, chunks_of(stream, member, self.path)


def _why_not_taken(path: Path, name: str, root: Path) -> str:
    """Return why a file of a folder cannot be taken; ``""`` where it can, and for folders and links to them."""
    try:
        if not is_utf_8(name):
            return "a name that is not UTF-8"
        if path.is_dir():
            return ""
        if path.is_symlink() and _leads_out(path.resolve(strict=True), root):
            return "a link that leads out of the folder"
        return "" if path.is_file() else "no regular file"
    except (OSError, RuntimeError):
        return "a link that leads nowhere"


def _leads_out(target: Path, root: Path) -> bool:
    return not target.is_relative_to(root) and not is_in_dvc_cache(target)


class LoneFile(Source):
    """A file that is no archive, as a source with one member."""

    def __init__(self, path: Path, name: str) -> None:
        super().__init__(path)
        self._name = name

    def members(self) -> list[Member]:
        return [Member(self._name, self.path.stat().st_size)]

    def read(self, names: Collection[str]) -> Iterator[tuple[Member, Iterator[bytes]]]:
        (member,) = self.members()
        if member.name in names:
            with damage(self.path), self.path.open("rb") as stream:
                yield member, chunks_of(stream, member, self.path)


def chunks_of(stream: IO[bytes], member: Member, source: Path) -> Iterator[bytes]:
    """Yield a member's bytes. Raises GraftError where they are damaged, or more or fewer than it says."""
    size = 0
    with damage(source, member.name):
        while chunk := stream.read(CHUNK):
            size += len(chunk)
            yield chunk
        if size != member.size:
            raise EOFError(f"{size} bytes instead of {member.size}")


def is_utf_8(name: str) -> bool:
    """Return whether a name can be written in UTF-8."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def safe_name(name: str, source: Path, is_folder: bool = False) -> str:
    """Return the member's name, normalised; raise where it could land outside, or cannot be written everywhere.

    Only a folder may have none: it is the one that all is in.
    """
    if not is_utf_8(name):
        raise GraftError(f"{source}: {name!r} is not a name in UTF-8", "Rename that file")
    parts = name.split("/")
    if name.startswith("/") or _DRIVE.match(name) or ".." in parts:
        raise GraftError(
            f"{source}: '{name}' would be written outside the folder it belongs in",
            "Rename it: to Windows it is a place on another drive"
            if source.is_dir()
            else "Do not use this archive, or unpack it where it can do no harm and import the folder",
        )
    normalised = "/".join(part for part in parts if part not in ("", "."))
    if normalised and not is_plain(normalised):
        raise GraftError(f"{source}: {name!r} has a backslash or a control character in it", "Rename that file")
    if not (normalised or is_folder):
        raise GraftError(f"{source} holds a file without a name", "Pack it again, or unpack it and name the folder")
    return normalised


def special(name: str, source: Path) -> GraftError:
    """Return the error for a member that is no file."""
    return GraftError(
        f"{source}: '{name}' is a link or a device, not a file", "Put the file itself in its place, or leave it out"
    )


def require_below(total: int, limit: int | None, source: Path) -> None:
    """Raise GraftError where a source unpacks to more than ``limit`` bytes."""
    if limit is not None and total > limit:
        raise GraftError(
            f"{source} unpacks to more than the {limit / 1e6:.0f} MB that are free",
            "Free some space, or check that it is the archive you meant",
        )


def _raise(error: OSError) -> None:
    raise error


@contextlib.contextmanager
def damage(path: Path, name: str = "") -> Iterator[None]:
    """Raise GraftError, one sentence, in the place of what the libraries raise on damaged or unreadable files."""
    where = f"{path}: '{name}'" if name else f"{path}"
    try:
        yield
    except GraftError:
        raise
    except NotImplementedError as error:
        raise GraftError(f"{where} is packed in a way unknown here: {error}", "Import the unpacked folder") from None
    except (*_DAMAGE, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            reason = error.strerror or str(error)
            raise GraftError(f"{where} cannot be read: {reason}", "Check the file and its permissions") from None
        # gzip and bz2 report damage as an OSError that no system call made.
        raise GraftError(f"{where} is damaged or cut off: {error}", "Fetch or pack it again") from None
