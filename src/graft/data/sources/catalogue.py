"""Read the data sets of catalogue.yaml by name, and bring them into data/."""

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace as changed
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field
from ruamel.yaml import YAML

from graft.core.errors import GraftError, did_you_mean
from graft.core.outside import own_path
from graft.core.project import Project
from graft.data.archives.open_archive import open_source
from graft.data.folder import swap, versioning
from graft.data.sources.feeds import Copies
from graft.data.sources.importing import Counts, Imported, bring_in, require_replaceable
from graft.data.sources.published import Block, DebianPackage, NpmPackage, PythonPackage, WebFile
from graft.data.sources.readers import AnyReader, FoldersReader
from graft.data.sources.readers.reader import Files

DEFAULT = "traffic_lights"

Availability = Literal["here", "reachable", "unreachable", "by hand"]


class SplitAdvice(Block):
    """Settings for ``split`` in params.yaml that fit a data set."""

    method: Literal["official", "stratified", "group"]
    group_by: str | None = None
    val_size: int | float | None = None
    test_size: int | float | None = None


class DataSetSource(Block):
    """One way to have a data set: its files, and how to read them."""

    origin: str
    megabytes: float
    files: list[PythonPackage | NpmPackage | DebianPackage | WebFile] = Field(min_length=1)
    reader: AnyReader
    by_hand: str = ""

    def is_here(self, folder: Path) -> bool:
        """Return whether all its files are in ``folder``."""
        return all(file.local_file(folder) is not None for file in self.files)

    def answers(self) -> bool:
        """Return whether all its files could be fetched right now."""
        return not self.by_hand and all(file.answers() for file in self.files)

    def copies(self, paths: Iterable[Path], classes: list[str]) -> Copies:
        """Return a feed of the files, or of unpacked copies of them, at these paths."""
        names = {path: file.name for path, file in zip(paths, self.files, strict=False)}
        return Copies(names, self.reader, classes)


class CatalogueEntry(Block):
    """One data set of the catalogue; catalogue.yaml says what the keys mean."""

    title: str
    classes: list[str] | Annotated[int, Field(ge=2)]
    images: int
    licence: str
    notice: str = ""
    split: SplitAdvice
    groups: str = ""
    parts: bool = False
    sources: list[DataSetSource] = Field(min_length=1)
    dvc_hash: str | None = None

    @property
    def class_names(self) -> list[str]:
        """The classes' names, or none where the archive itself names them."""
        return self.classes if isinstance(self.classes, list) else []

    @property
    def class_count(self) -> int:
        return self.classes if isinstance(self.classes, int) else len(self.classes)

    @property
    def is_official(self) -> bool:
        """Whether it is published with a train/test split."""
        return self.split.method == "official"

    def split_settings(self, counts: Counts) -> dict[str, Any]:
        """Return settings for ``split`` in params.yaml that fit what was brought in."""
        settings = self.split.model_dump(exclude_none=True)
        if self.is_official and "" in counts:  # a copy of the training images only
            settings["method"] = "group" if self.split.group_by else "stratified"
        return settings


@cache
def read_catalogue() -> Mapping[str, CatalogueEntry]:
    """Return every data set by name, in the catalogue's order."""
    raw = YAML(typ="safe").load(Path(__file__).with_name("catalogue.yaml").read_text(encoding="utf-8"))
    return {name: CatalogueEntry.model_validate(block) for name, block in raw.items()}


def find_entry(name: str) -> CatalogueEntry:
    """Return the data set of that name.

    Raises:
        GraftError: there is none; the message names the nearest one.
    """
    known = read_catalogue()
    if name not in known:
        raise GraftError(f"There is no data set '{name}' in the catalogue", did_you_mean(name, known))
    return known[name]


def availability(project: Project, names: Iterable[str] | None = None) -> dict[str, Availability]:
    """Return for data sets (all, if not named) whether their bytes are here, could be fetched now, or could not.

    Takes seconds. ``by hand`` are those that graft can read but not fetch.
    """
    entries = {name: find_entry(name) for name in names or read_catalogue()}

    def find(entry: CatalogueEntry) -> Availability:
        if any(source.is_here(downloads(project)) for source in entry.sources):
            return "here"
        if any(source.answers() for source in entry.sources):
            return "reachable"
        return "by hand" if all(source.by_hand for source in entry.sources) else "unreachable"

    with ThreadPoolExecutor(max_workers=len(entries)) as pool:
        return dict(zip(entries, pool.map(find, entries.values()), strict=True))


def use(project: Project, name: str, source: Path | None = None, *, replace: bool = False) -> Imported:
    """Bring a data set of the catalogue into data/.

    Its sources are tried in the catalogue's order, those that are here already first; which one it was, and
    why not an earlier one, is said in the result's notes and in data.dvc.

    Args:
        source: a local copy to take instead of fetching it: a published archive, a folder that holds the
            published archives, an unpacked one, or a folder or archive in the layout that data/ has.
        replace: whether a data/ that holds something may be replaced; DVC then keeps the old one.

    Raises:
        GraftError: no such data set; it can be fetched from nowhere; the copy is not that data set; or see
            :func:`graft.data.sources.importing.bring_in`.
    """
    entry = find_entry(name)
    swap.recover(project)
    require_replaceable(project, replace)  # before anything is fetched
    if source is None:
        feed, origin, notes = _fetched(project, name, entry)
    else:
        (feed, origin), notes = _local_copy(entry, own_path(source)), []
    meta = {"dataset": name, "licence": entry.licence, "source": origin}

    def check(counts: Counts) -> None:
        _require_same(name, entry, counts, source or next(iter(feed.paths)), may_be_part=source is not None)

    imported = bring_in(project, feed, meta, replace=replace, check=check)
    if imported.images < entry.images:
        notes.append(f"It is a part of {name}: {imported.images:,} of {entry.images:,} images")
    notes.append(f"Licence: {entry.licence}" + (f". {entry.notice}" if entry.notice else ""))
    settings = entry.split_settings(imported.counts)
    return changed(imported, notes=(*imported.notes, *notes), split_settings=settings)


def fetch_default(project: Project) -> Imported | None:
    """Bring in the default data set where data/ is missing or empty, and leave data/ alone where it is not.

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
    """Return the folder in which fetched archives are cached."""
    return project.cache / "downloads"


def _fetched(project: Project, name: str, entry: CatalogueEntry) -> tuple[Copies, str, list[str]]:
    """Return the first source that can be had, its origin, and what the user should know about it."""
    failures: list[tuple[DataSetSource, GraftError]] = []
    for source in sorted(entry.sources, key=lambda source: not source.is_here(downloads(project))):
        try:
            if source.by_hand:
                raise _by_hand(name, source)
            paths = [file.fetch(downloads(project)) for file in source.files]
        except GraftError as error:
            failures.append((source, error))
            continue
        notes = [f"{failed.origin}: {error.what}" for failed, error in failures]
        if len(entry.sources) > 1:
            notes.append(f"Taken from: {source.origin}")
        return source.copies(paths, entry.class_names), source.origin, notes
    what = "; ".join(error.what for _, error in failures)
    raise GraftError(what, f"{failures[-1][1].fix}. Or take a copy: graft data use {name} --from PATH")


def _by_hand(name: str, source: DataSetSource) -> GraftError:
    addresses = " ".join(str(file.url) for file in source.files if isinstance(file, WebFile))
    return GraftError(
        f"{name} is published as {source.by_hand}, which graft does not read",
        f"Fetch it from {addresses} and unpack it",
    )


def _local_copy(entry: CatalogueEntry, path: Path) -> tuple[Copies, str]:
    """Return a local copy as a feed, and its origin: the source's own where the archives are the published ones."""
    candidates = sorted(path.iterdir()) if path.is_dir() else [path]
    for source in entry.sources:
        found = {
            position: candidate
            for position, file in enumerate(source.files)
            for candidate in candidates
            if candidate.is_file()
            # A folder may hold any number of files: there the name has to do.
            and (file.is_named(candidate.name) or (candidate == path and file.is_copy(path)))
        }
        if len(found) == len(source.files) or (found and entry.parts):
            same = len(found) == len(source.files) and all(
                source.files[position].is_copy(candidate) for position, candidate in found.items()
            )
            names = {candidate: source.files[position].name for position, candidate in found.items()}
            feed = Copies(names, source.reader, entry.class_names)
            return feed, source.origin if same else path.name
    with open_source(path) as opened:
        files = Files([opened])
    for source in entry.sources:
        if source.reader.fits(files):
            return Copies({path: ""}, source.reader, entry.class_names), path.name
    return Copies({path: ""}, FoldersReader()), path.name


def _require_same(name: str, entry: CatalogueEntry, counts: Counts, path: Path, *, may_be_part: bool) -> None:
    """Raise GraftError where the images are not those of the entry, nor a part where parts are allowed."""
    labels = sorted({label for classes in counts.values() for label in classes})
    images = sum(sum(classes.values()) for classes in counts.values())
    is_official = "" not in counts
    has_classes = labels == sorted(entry.class_names) if entry.class_names else len(labels) == entry.classes
    if has_classes and images == entry.images and is_official == entry.is_official:
        return
    if has_classes and images < entry.images and entry.parts and may_be_part:
        return
    expected = ", ".join(entry.class_names[:8]) or f"{entry.classes} classes"
    shown = ", ".join(labels[:5]) + (", ..." if len(labels) > 5 else "")
    raise GraftError(
        f"{path} is not '{name}' as published: it has {images} images of {shown} "
        f"{'with' if is_official else 'without'} a train/test split, not {entry.images} of "
        f"{expected}{', ...' if len(entry.class_names) > 8 else ''} with the split '{entry.split.method}'",
        f"Name another copy, or bring it in under a name of its own with `graft data import {path}`",
    )
