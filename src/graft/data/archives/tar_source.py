"""Tar files, plain or compressed, in memory that the size of the file bounds."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import os
import tarfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO, Any

from graft.core.errors import GraftError
from graft.data.archives.name_encoding import read_name
from graft.data.archives.open_archive import CHUNK, Member, Source, chunks_of, damage, require_below, safe_name, special

# A name takes a few hundred bytes; whatever else stands in a header, tarfile holds it whole, and compressed it may have
# any size.
MAX_HEADER_BYTES = 65_536
# What the list of members may take, and for each byte of the file: a photograph of its own packs to ten bytes at
# least, while a header of zeros packs to half a byte.
LIST_BYTES, LIST_BYTES_PER_BYTE, MEMBER_BYTES = 1_000_000, 64, 256
# `xz -9` takes 65 MiB; a file may ask for 4 GiB, of which it then fills as much as it unpacks to.
XZ_MEMORY_BYTES = 100 * 2**20


class TarSource(Source):
    """A tar file; read from front to back, once for the list and once for the bytes."""

    def __init__(self, path: Path, limit: int | None, encoding: str | None = None) -> None:
        super().__init__(path)
        self._limit, self._encoding = limit, encoding

    def members(self) -> list[Member]:
        return [member for member, _ in self._entries()]

    def read(self, names: Collection[str]) -> Iterator[tuple[Member, Iterator[bytes]]]:
        for member, stream in self._entries():
            if member.name in names:
                yield member, chunks_of(stream, member, self.path)

    @contextlib.contextmanager
    def opened(self) -> Iterator[BoundedTar]:
        """Yield the tar file at its beginning."""
        with self.path.open("rb") as stream, tar_in(stream, self.path) as tar:
            yield tar

    def _entries(self) -> Iterator[tuple[Member, IO[bytes]]]:
        total = listed = 0
        most_listed = LIST_BYTES + LIST_BYTES_PER_BYTE * self.path.stat().st_size
        with damage(self.path), self.opened() as tar:
            while (info := tar.next()) is not None:
                name = info.name if info.name.isascii() else read_name(info.name, self._encoding, self.path)
                name = safe_name(name, self.path, info.isdir())
                if not (info.isreg() or info.isdir()):
                    raise special(name, self.path)
                if info.size < 0:
                    raise tarfile.ReadError("a size is negative")
                listed += MEMBER_BYTES + len(name)
                if listed > most_listed:
                    raise GraftError(
                        f"{self.path} lists more files than its size has room for",
                        "Check that it is the archive you meant; if it is, unpack it and name the folder",
                    )
                if self.passes_over(name) or info.isdir():
                    continue
                total += info.size
                require_below(total, self._limit, self.path)
                stream = tar.extractfile(info)
                assert stream is not None  # it is a regular file
                yield Member(name, info.size), stream
            # tarfile takes a damaged header, or a file cut off between two members, for the end.
            assert tar.fileobj is not None
            tar.fileobj.seek(tar.offset)
            if tar.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                raise EOFError("it has no end mark")
            # The checksum of a compressed file stands at its end, and is checked by reading up to there.
            while rest := tar.fileobj.read(CHUNK):
                total += len(rest)
                require_below(total, self._limit, self.path)


class BoundedTar(tarfile.TarFile):
    """A tar file whose headers are small.

    Long names, attributes and maps of sparse files stand before a member, in as many blocks as they like; tarfile reads
    them all, each inside the one before. Here they come to :data:`MAX_HEADER_BYTES` together, or are refused.
    """

    def __init__(self, stream: IO[bytes], path: Path) -> None:
        self._counted = _Counted(stream, path)
        super().__init__(fileobj=self._counted)  # type: ignore[arg-type]

    def next(self) -> tarfile.TarInfo | None:
        """Return the next member, or None at the end.

        Raises:
            GraftError: its header is larger than it may be.
        """
        self._counted.left = MAX_HEADER_BYTES
        try:
            return super().next()
        finally:
            self._counted.left = None
            # tarfile would collect all headers.
            self.members.clear()  # type: ignore[attr-defined]
            self.pax_headers = {}


class _Counted:
    """A stream that hands out at most ``left`` bytes, where that is a number."""

    def __init__(self, stream: IO[bytes], path: Path) -> None:
        self._stream, self._path = stream, path
        self.left: int | None = None
        self.seek, self.tell = stream.seek, stream.tell

    def read(self, size: int = -1) -> bytes:
        if self.left is not None:
            if not 0 <= size <= self.left:
                raise GraftError(
                    f"{self._path} holds a header larger than {MAX_HEADER_BYTES // 1024} KiB, or of no valid size",
                    "Check that it is the archive you meant; if it is, unpack it and name the folder",
                )
            self.left -= size
        return self._stream.read(size)


class _Xz(io.RawIOBase):
    """The content of an xz file, like lzma.LZMAFile, with a bound on memory."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._begin()

    def _begin(self) -> None:
        self._stream.seek(0)
        self._position = 0
        self._packed = b""
        self._unpacker: lzma.LZMADecompressor | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        assert whence == os.SEEK_SET
        if offset < self._position:
            self._begin()
        while self._position < offset and self.read(min(CHUNK, offset - self._position)):
            pass
        return self._position

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        while True:
            if self._unpacker is None or self._unpacker.eof:
                # Streams may follow each other, with zeros between them.
                rest = self._unpacker.unused_data if self._unpacker else b""
                rest = (rest or self._stream.read(CHUNK)).lstrip(b"\0")
                if not rest:
                    return 0
                self._packed = rest
                self._unpacker = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY_BYTES)
            elif self._unpacker.needs_input and not self._packed:
                self._packed = self._stream.read(CHUNK)
                if not self._packed:
                    raise EOFError("its xz stream is cut off")
            data = self._unpacker.decompress(self._packed, len(view))
            self._packed = b""
            if data:
                view[: len(data)] = data
                self._position += len(data)
                return len(data)


@contextlib.contextmanager
def tar_in(stream: IO[bytes], path: Path) -> Iterator[BoundedTar]:
    """Yield the tar file in a stream, which may be packed by gzip, bzip2 or xz.

    Raises:
        tarfile.ReadError: there is none.
        GraftError: its first header is too large; ``path`` is what the message names.
    """
    with contextlib.ExitStack() as opened:
        try:
            tar = BoundedTar(stream, path)
        except tarfile.ReadError:
            stream.seek(0)
            start = stream.read(8)
            stream.seek(0)
            unpacked: Any
            if start.startswith(b"\x1f\x8b"):
                unpacked = gzip.GzipFile(fileobj=stream)
            elif start.startswith(b"BZh"):
                unpacked = bz2.BZ2File(stream)
            elif start.startswith(b"\xfd7zXZ\0"):
                unpacked = io.BufferedReader(_Xz(stream), CHUNK)
            else:
                raise
            tar = BoundedTar(opened.enter_context(unpacked), path)
        yield opened.enter_context(tar)


def is_tar(path: Path) -> bool:
    """Return whether a file begins like a tar file, packed or not.

    Raises:
        GraftError: its first header is too large.
        OSError, EOFError, lzma.LZMAError, zlib.error: it cannot be read, or is packed and damaged.
    """
    try:
        with path.open("rb") as stream, tar_in(stream, path):
            return True
    except tarfile.TarError:
        return False
