"""Bringing images into data/: from a folder, a zip or a tar archive, all of them or none.

Every file is written into a staging folder, read back and compared with what was read, and the layout is
checked; only then does the staging folder become data/ (:mod:`graft.data.swap`). Bytes are kept as they are.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import shutil
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from graft.data import swap, versioning
from graft.data.archives import Member, Source, open_source
from graft.data.layout import Layout, read_layout
from graft.errors import GraftError
from graft.fetch import SPARE_BYTES, sha256_of
from graft.inference.images import SUFFIXES
from graft.progress import Advance, progress_bar
from graft.project import SPLITS, Project

NOT_STATED = "not stated"
_BLOCK = 4096  # what a file system hands out: small files take more space than they have bytes
_NAME = re.compile(r"\w[\w-]*")

Counts = dict[str, dict[str, int]]


@dataclass(frozen=True)
class Imported:
    """What came in.

    Attributes:
        dataset: the name that data.dvc now carries.
        counts: images by split and class; the only split is ``""`` where the data brings none.
        left_out: files of a part taken whole that are no images, going by their suffix.
        replaced: copy of the data.dvc of other images that belonged in data/ before, or None.
    """

    dataset: str
    counts: Counts
    left_out: int
    replaced: Path | None

    @property
    def images(self) -> int:
        """Images in all splits and classes."""
        return sum(sum(classes.values()) for classes in self.counts.values())


@dataclass(frozen=True)
class Part:
    """One folder or archive to import from.

    Attributes:
        path: where it lies.
        folders: from a folder in it to a folder in data/; what lies outside is left out. Empty: everything,
            without the top folders that all images share.
    """

    path: Path
    folders: Mapping[str, str]


def import_images(
    project: Project, source: Path, *, name: str | None = None, replace: bool = False
) -> Imported:
    """Imports the user's own images.

    Args:
        project: whose data/ they go into.
        source: a folder or archive of class folders, or of train/, val/ and test/ with class folders inside.
        name: of the data set; by default the source's.
        replace: whether a data/ that holds something may be replaced; DVC then keeps the old one.

    Raises:
        GraftError: see :func:`bring_in`; or the name is not one, or source and data/ lie in each other.
    """
    if name is not None and not _NAME.fullmatch(name):
        raise GraftError(f"'{name}' is not a name for a data set", "Use letters, digits, - and _")
    here, data = source.expanduser().resolve(), project.data.resolve()
    if here == data or here.is_relative_to(data) or data.is_relative_to(here):
        raise GraftError(
            f"{source} and {project.data} lie in each other",
            "Import from a folder outside data/ and not around it",
        )
    dataset = name or _name_of(here)
    meta = {"dataset": dataset, "licence": NOT_STATED, "source": here.name}
    return bring_in(project, [Part(source.expanduser(), {})], meta, replace=replace)


def bring_in(
    project: Project,
    parts: Sequence[Part],
    meta: Mapping[str, str],
    *,
    replace: bool = False,
    check: Callable[[Counts], None] | None = None,
) -> Imported:
    """Makes the images of all parts together the project's data/, tracked by DVC.

    Args:
        project: whose data/ they become.
        parts: where they come from.
        meta: what data.dvc says about them: dataset, licence, source.
        replace: whether a data/ that holds something may be replaced; DVC then keeps the old one.
        check: raises where the counts are not what they should be; nothing has changed by then.

    Raises:
        GraftError: data/ holds something and ``replace`` is not set; a part is missing, damaged or unsafe;
            its images lie in no known layout or in fewer than two classes, or two names differ only by case;
            the disk is full; DVC refuses. Only in the last case may data/ be the new one already.
    """
    with swap.exclusive(project), _disk_errors(project), contextlib.ExitStack() as stack:
        require_replaceable(project, replace)
        free = shutil.disk_usage(project.root).free
        plans: list[tuple[Source, dict[str, str]]] = []
        sizes: list[int] = []
        left_out = 0
        for part in parts:
            source = stack.enter_context(open_source(part.path, limit=free))
            members = source.members()
            targets = _targets(members, part)
            plans.append((source, targets))
            sizes += [member.size for member in members if member.name in targets]
            if not part.folders:  # else what was not named was not meant
                left_out += len(members) - len(targets)
        everything = [target for _, targets in plans for target in targets.values()]
        _require_distinct(everything)
        _require_space(sizes, free, project)
        folder = stack.enter_context(swap.incoming(project))
        counts = _make_folders(folder, everything)
        if check:
            check(counts)
        with progress_bar("Importing images", len(everything)) as advance:
            for source, targets in plans:
                _copy(source, targets, folder, advance)
        _require_whole(folder, len(everything))
        if not swap.is_empty(project.data):
            versioning.add(project)
        before, pointer = versioning.tracked_hash(project), versioning.copy_pointer(project)
        swap.put_in_place(project, meta)
        replaced = pointer if versioning.tracked_hash(project) != before else None
    return Imported(meta["dataset"], counts, left_out, replaced)


def require_replaceable(project: Project, replace: bool) -> None:
    """Raises GraftError where data/ holds something and ``replace`` is not set."""
    if swap.is_empty(project.data) or replace:
        return
    name = versioning.dataset_name(project)
    whose = "" if name == versioning.UNNAMED else f": it holds '{name}'"
    raise GraftError(
        f"{project.data} is not empty{whose}",
        "Add --replace to put other images there; DVC keeps the old ones",
    )


def _targets(members: Sequence[Member], part: Part) -> dict[str, str]:
    """Where in data/ each image of a part goes; members that are no images are not in it."""
    repeated = [name for name, count in Counter(member.name for member in members).items() if count > 1]
    if repeated:
        raise GraftError(
            f"{part.path} holds '{repeated[0]}' more than once", "Pack it again with each file once"
        )
    images = [name for name in (member.name for member in members) if is_image(name)]
    if part.folders:
        targets = {name: target for name in images if (target := _mapped(name, part.folders))}
    else:
        depth = _shared_folders(images)
        targets = {name: name.split("/", depth)[depth] for name in images}
    if not targets:
        where = f" in {', '.join(part.folders)}" if part.folders else ""
        raise GraftError(
            f"{part.path} holds no images{where} ({len(members)} other files)",
            f"An image is a file that ends in one of {' '.join(sorted(SUFFIXES))}",
        )
    return targets


def is_image(name: str) -> bool:
    """Whether a file's name ends as an image's does."""
    return PurePosixPath(name).suffix.lower() in SUFFIXES


def _mapped(name: str, folders: Mapping[str, str]) -> str:
    for prefix, folder in folders.items():
        if name.startswith(f"{prefix}/"):
            rest = name.removeprefix(f"{prefix}/")
            return f"{folder}/{rest}" if folder else rest
    return ""


def _shared_folders(names: Sequence[str]) -> int:
    """How many folders lie around all images: archive/rps/rock/1.png has two, if rock is one of several."""
    depth = 0
    folders = [name.split("/")[:-1] for name in names]
    # The innermost one is a class, however alone it is.
    while folders and all(len(path) > depth + 1 and path[depth] == folders[0][depth] for path in folders):
        depth += 1
    return depth


def _require_distinct(targets: Iterable[str]) -> None:
    """No two files, and no two folders, may be one where upper and lower case are (macOS, Windows)."""
    spelled: dict[str, str] = {}
    files: set[str] = set()
    for target in targets:
        if target in files:
            raise GraftError(f"'{target}' comes from two places", "Leave one of them out")
        files.add(target)
        for path in (target, *(str(folder) for folder in PurePosixPath(target).parents)):
            key = unicodedata.normalize("NFC", path).casefold()
            if spelled.setdefault(key, path) != path:
                raise GraftError(
                    f"'{spelled[key]}' and '{path}' differ only by case, and are one name on many systems",
                    "Rename one of them",
                )


def _require_space(sizes: Sequence[int], free: int, project: Project) -> None:
    # Twice: once in data/, once in DVC's cache.
    needed = 2 * sum(-(-size // _BLOCK) * _BLOCK for size in sizes) + SPARE_BYTES
    if needed > free:
        raise GraftError(
            f"The import needs {needed / 1e6:.0f} MB in {project.root}, where {free / 1e6:.0f} MB are free",
            "Free some space and run the command again; nothing has changed",
        )


def _make_folders(root: Path, targets: Sequence[str]) -> Counts:
    """Makes the folders for the images to come, and counts them by split and class."""
    for folder in sorted({PurePosixPath(target).parent for target in targets}):
        (root / folder).mkdir(parents=True, exist_ok=True)
    loose = [target for target in targets if "/" not in target]
    layout = Layout(root, {}) if loose else read_layout(root)
    loose = loose or [target for target in targets if layout.is_official and target.count("/") < 2]
    if loose:
        raise GraftError(
            f"{len(loose)} images lie in no class folder, for example '{loose[0]}'",
            "Put the images of each class in a folder named after it",
        )
    counts: Counts = {}
    for target in targets:
        label, split = layout.place(root / target)
        classes = counts.setdefault(split, {})
        classes[label] = classes.get(label, 0) + 1
    labels = {label for classes in counts.values() for label in classes}
    if len(labels) < 2:
        raise GraftError(
            f"All images lie in one class folder, '{labels.pop()}', for example '{targets[0]}'",
            "Put the images of each class, two classes at least, in a folder named after it",
        )
    return {split: dict(sorted(counts[split].items())) for split in ("", *SPLITS) if split in counts}


def _copy(source: Source, targets: Mapping[str, str], folder: Path, advance: Advance) -> None:
    for member, chunks in source.read(targets.keys()):
        path = folder / targets[member.name]
        digest = hashlib.sha256()
        with path.open("xb") as out:
            for chunk in chunks:
                digest.update(chunk)
                out.write(chunk)
        if sha256_of(path) != digest.hexdigest():
            raise GraftError(
                f"'{member.name}' reads back from {folder} with other bytes than were written",
                "Check that disk; nothing has changed in data/",
            )
        advance(1)


def _require_whole(folder: Path, expected: int) -> None:
    written = sum(len(files) for _, _, files in os.walk(folder))
    if written != expected:
        raise GraftError(
            f"{written} of {expected} images arrived in {folder}",
            "Run it again; nothing has changed in data/",
        )


def _name_of(source: Path) -> str:
    stem = source.name if source.is_dir() else re.sub(r"(\.tar)?\.\w+$", "", source.name)
    return re.sub(r"[^\w-]+", "_", stem).strip("_-") or versioning.UNNAMED


@contextlib.contextmanager
def _disk_errors(project: Project) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise GraftError(
            f"{error.filename or project.root} cannot be written: {error.strerror or error}",
            "Free some space and run it again" if full else "Check its permissions and run it again",
        ) from None
