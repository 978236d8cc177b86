"""Debian packages as archives: the files that one would install, read with the standard library.

A package is an ar archive of three files, of which the last is a compressed tar file::

    !<arch>
    debian-binary    "2.0"
    control.tar.xz   name, version, scripts: passed over, nothing of it is run
    data.tar.xz      the files
"""

import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from graft.core.errors import GraftError
from graft.data.archives.tar_source import BoundedTar, TarSource, tar_in

_HEADER = 60  # bytes before each file of an ar archive: name 16, dates and owners 32, size 10, mark 2


class DebianSource(TarSource):
    """The files of a Debian package."""

    @contextlib.contextmanager
    def opened(self) -> Iterator[BoundedTar]:
        """Yield the package's files, open at their beginning.

        Raises:
            GraftError: they are packed with Zstandard, which Python reads from version 3.14 on only.
            EOFError, tarfile.TarError: the package is cut off or damaged.
        """
        for name, start, size in _parts(self.path):
            if name.startswith("data.tar.zst"):
                raise GraftError(
                    f"{self.path} is packed with Zstandard, which Python does not read",
                    f"Unpack it with `dpkg-deb -x {self.path.name} FOLDER` and name the folder",
                )
            if name.startswith("data.tar"):
                with io.BufferedReader(_Window(self.path, start, size)) as window, tar_in(window, self.path) as tar:
                    yield tar
                return
        raise EOFError("it holds no data.tar")


class _Window(io.RawIOBase):
    """A part of a file, as a file of its own."""

    def __init__(self, path: Path, start: int, size: int) -> None:
        self._file: BinaryIO = path.open("rb")
        self._start, self._size, self._position = start, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = max(0, origin + offset)
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        self._file.seek(self._start + self._position)
        data = self._file.read(max(0, min(len(view), self._size - self._position)))
        view[: len(data)] = data
        self._position += len(data)
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()


def _parts(path: Path) -> Iterator[tuple[str, int, int]]:
    """Yield name, position and size of every file in an ar archive."""
    with path.open("rb") as stream:
        stream.seek(len("!<arch>\n"))
        while header := stream.read(_HEADER):
            if len(header) < _HEADER or not header.endswith(b"`\n"):
                raise EOFError("a header of its ar archive is not whole")
            size = int(header[48:58])
            if size < 0:
                raise EOFError("a size in its ar archive is negative")
            start = stream.tell()
            yield header[:16].decode("ascii", "replace").strip().rstrip("/"), start, size
            stream.seek(start + size + size % 2)
