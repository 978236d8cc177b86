"""Zip files, which wheels are too."""

import stat
import zipfile
from collections.abc import Collection, Iterator
from pathlib import Path

from graft.core.errors import GraftError
from graft.data.archives.name_encoding import names_in_zip
from graft.data.archives.open_archive import Member, Source, chunks_of, damage, require_below, safe_name, special


class ZipSource(Source):
    """A zip file; a wheel is one too."""

    def __init__(self, path: Path, limit: int | None, encoding: str | None = None, guess: bool = False) -> None:
        super().__init__(path)
        self._limit, self._encoding, self._guess = limit, encoding, guess
        self._zip = zipfile.ZipFile(path)

    def __exit__(self, *error: object) -> None:
        self._zip.close()

    def members(self) -> list[Member]:
        return [member for member, _ in self._entries()]

    def read(self, names: Collection[str]) -> Iterator[tuple[Member, Iterator[bytes]]]:
        for member, info in self._entries():
            if member.name in names:
                # zipfile would allow it a dictionary of 4 GiB.
                with damage(self.path, member.name):
                    if info.compress_type == zipfile.ZIP_LZMA:
                        raise NotImplementedError("LZMA")
                with damage(self.path, member.name), self._zip.open(info) as stream:
                    yield member, chunks_of(stream, member, self.path)

    def _entries(self) -> Iterator[tuple[Member, zipfile.ZipInfo]]:
        total = 0
        infos = self._zip.infolist()
        names = names_in_zip(infos, self._encoding, self._guess, self.path)
        for info, written in zip(infos, names, strict=True):
            kind = stat.S_IFMT(info.external_attr >> 16)
            # Some Windows tools write backslashes, against the format's rules.
            name = written.replace("\\", "/")
            is_folder = kind == stat.S_IFDIR or name.endswith("/")
            name = safe_name(name, self.path, is_folder)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise special(name, self.path)
            if self.passes_over(name) or is_folder:
                continue
            if info.flag_bits & 1:
                raise GraftError(f"{self.path}: '{name}' has a password", "Unpack it and import the folder")
            total += info.file_size
            require_below(total, self._limit, self.path)
            yield Member(name, info.file_size), info
