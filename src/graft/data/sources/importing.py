"""Bring images into data/: from folders, archives or a table of paths, all of them or none.

Every file is written into a staging folder, read back and compared with what was read, and the layout is
checked; only then does the staging folder become data/ (:mod:`graft.data.folder.swap`). Bytes are kept as they are.
"""

import contextlib
import errno
import hashlib
import os
import re
import shutil
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from graft.core.download.fetch import SPARE_BYTES
from graft.core.errors import GraftError
from graft.core.files import sha256_of, write_file
from graft.core.lock import project_lock
from graft.core.outside import is_plain, own_path, path_below
from graft.core.progress import Advance, progress_bar
from graft.core.project import SPLITS, Project
from graft.data.folder import swap, versioning
from graft.data.folder.layout import Layout, read_layout
from graft.data.sources.feeds import Feed, feed_of
from graft.data.sources.readers.reader import Plan

NOT_STATED = "not stated"
_LONGEST_NAME = 255  # bytes, on nearly every file system
_BLOCK = 4096  # what a file system hands out: small files take more space than they have bytes
_NAME = re.compile(r"\w[\w-]*")

Counts = dict[str, dict[str, int]]


@dataclass(frozen=True)
class Imported:
    """The result of an import.

    Attributes:
        dataset: the name that data.dvc now carries.
        counts: images by split and class; the only split is ``""`` where the data brings none.
        left_out: names of files that are not taken, each with the reason; ``""`` where it is no image, going by its
            suffix.
        replaced: copy of the data.dvc of other images that belonged in data/ before, or None.
        notes: what else the user should know, a sentence each.
        split_settings: what fits under ``split`` in params.yaml, where something is known to.
    """

    dataset: str
    counts: Counts
    left_out: Mapping[str, str]
    replaced: Path | None
    notes: tuple[str, ...] = ()
    split_settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def images(self) -> int:
        """Images in all splits and classes."""
        return sum(sum(classes.values()) for classes in self.counts.values())


def import_images(
    project: Project,
    source: Path,
    *,
    name: str | None = None,
    replace: bool = False,
    encoding: str | None = None,
    labels_from_names: bool = False,
) -> Imported:
    """Import the user's own images.

    Args:
        source: a folder or archive of class folders, or of train/, val/ and test/ with class folders inside;
            or a table of images (:mod:`graft.data.sources.image_tables`).
        name: of the data set; by default the source's.
        replace: whether a data/ that holds something may be replaced; DVC then keeps the old one.
        encoding: of names in a folder or archive, and of tables, that do not say theirs, for example gbk; by default
            UTF-8.
        labels_from_names: whether the files' names say the classes, as in cat.1.jpg, and not their folders.

    Raises:
        GraftError: see :func:`bring_in`; or the name is not one, or source and data/ lie in each other.
    """
    if name is not None and not _NAME.fullmatch(name):
        raise GraftError(f"'{name}' is not a name for a data set", "Use letters, digits, - and _")
    here, data = own_path(source).resolve(), project.data.resolve()
    if here == data or here.is_relative_to(data) or data.is_relative_to(here):
        raise GraftError(
            f"{source} and {project.data} lie in each other", "Import from a folder outside data/ and not around it"
        )
    dataset = name or _name_of(here)
    meta = {"dataset": dataset, "licence": NOT_STATED, "source": here.name}
    path = own_path(source)
    return bring_in(project, feed_of(path, encoding, labels_from_names, project.state), meta, replace=replace)


def bring_in(
    project: Project,
    feed: Feed,
    meta: Mapping[str, str],
    *,
    replace: bool = False,
    check: Callable[[Counts], None] | None = None,
) -> Imported:
    """Make the images of a feed the project's data/, tracked by DVC.

    Args:
        meta: what data.dvc says about them: dataset, licence, source.
        replace: whether a data/ that holds something may be replaced; DVC then keeps the old one.
        check: raises where the counts are not what they should be; nothing has changed by then.

    Raises:
        GraftError: data/ holds something and ``replace`` is not set; what it is to come from is missing,
            damaged or unsafe; it names a place outside data/; its images lie in no known layout or in fewer
            than two classes, or two names differ only by case or by how an accent is written; the disk is full;
            DVC refuses. Only in the last case may data/ be the new one already.
    """
    with project_lock(project), _disk_errors(project), contextlib.ExitStack() as stack:
        swap.finish_interrupted(project)
        require_replaceable(project, replace)
        free = shutil.disk_usage(project.root).free
        plan = feed.open(stack, free)
        _require_distinct(plan.sizes)
        _require_space(plan.sizes.values(), free, project)
        folder = stack.enter_context(swap.incoming(project))
        _require_below(folder, plan.sizes, meta["source"])
        counts, has_groups = _make_folders(folder, list(plan.sizes), plan.hint)
        if check:
            check(counts)
        with progress_bar("Importing images", len(plan.sizes)) as advance:
            _write(plan, folder, advance)
        _require_whole(folder, len(plan.sizes))
        for file, text in plan.beside.items():
            write_file(folder / file, text)
        if not swap.is_empty(project.data):
            versioning.add(project)
        before, pointer = versioning.tracked_hash(project), versioning.copy_pointer(project)
        swap.put_in_place(project, meta)
        replaced = pointer if versioning.tracked_hash(project) != before else None
    method = "group" if "" in counts else "official"
    grouped = {"method": method, "group_by": "column"} if has_groups else {}
    return Imported(meta["dataset"], counts, plan.left_out, replaced, plan.notes, grouped)


def require_replaceable(project: Project, replace: bool) -> None:
    """Raise GraftError where data/ holds something and ``replace`` is not set, or DVC could not track it."""
    versioning.require_repository(project)
    if swap.is_empty(project.data) or replace:
        return
    name = versioning.dataset_name(project)
    whose = "" if name == versioning.UNNAMED else f": it holds '{name}'"
    raise GraftError(
        f"{project.data} is not empty{whose}", "Add --replace to put other images there; DVC keeps the old ones"
    )


def _require_below(folder: Path, targets: Iterable[str], source: str) -> None:
    """Raise GraftError where a name would leave the folder, or be hidden or too long in it.

    Names come from archives, from the tables in them and from the catalogue, by way of any reader. Links are looked
    for once for each folder: it is new and empty.
    """
    checked: set[str] = set()
    for target in targets:
        parent = target.rpartition("/")[0]
        if parent not in checked or not is_plain(target):
            path_below(folder, target, source)
            checked.add(parent)
        for part in target.split("/"):
            if part.startswith(".") or len(os.fsencode(part)) > _LONGEST_NAME:
                raise GraftError(
                    f"{source} names '{part[:60]}', which begins with a dot or is longer than {_LONGEST_NAME} bytes",
                    "Rename it: scans pass over hidden files, and file systems refuse long names",
                )


def _require_distinct(targets: Iterable[str]) -> None:
    """Raise GraftError where two files, or two folders, would be one on a disk that ignores case (macOS, Windows)."""
    spelled: dict[str, str] = {}
    folders: set[str] = set()
    for target in targets:
        paths = [target]
        while (folder := paths[-1].rpartition("/")[0]) and folder not in folders:
            folders.add(folder)
            paths.append(folder)
        for path in paths:
            key = unicodedata.normalize("NFC", path).casefold()
            if (other := spelled.setdefault(key, path)) != path:
                look_alike = unicodedata.normalize("NFC", other) == unicodedata.normalize("NFC", path)
                both = f"{other!a} and {path!a}" if look_alike else f"'{other}' and '{path}'"
                raise GraftError(
                    f"{both} differ only by case or by how an accent is written, and are one name on many systems",
                    "Rename one of them",
                )


def _require_space(sizes: Iterable[int], free: int, project: Project) -> None:
    # Twice: once in data/, once in DVC's cache.
    needed = 2 * sum(-(-size // _BLOCK) * _BLOCK for size in sizes) + SPARE_BYTES
    if needed > free:
        raise GraftError(
            f"The import needs {needed / 1e6:.0f} MB in {project.root}, where {free / 1e6:.0f} MB are free",
            "Free some space and run the command again; nothing has changed",
        )


def _make_folders(root: Path, targets: Sequence[str], hint: str) -> tuple[Counts, bool]:
    """Make the folders for the images to come; return their counts by split and class, and whether any has a group."""
    for folder in sorted({PurePosixPath(target).parent for target in targets}):
        (root / folder).mkdir(parents=True, exist_ok=True)
    loose = [target for target in targets if "/" not in target]
    layout = Layout(root, {}) if loose else read_layout(root)
    loose = loose or [target for target in targets if layout.is_official and target.count("/") < 2]
    if loose:
        raise GraftError(
            f"{len(loose)} images lie in no class folder, for example '{loose[0]}'",
            hint or "Put the images of each class in a folder named after it",
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
            hint or "Put the images of each class, two classes at least, in a folder named after it",
        )
    has_groups = any(layout.group(root / target) for target in targets)
    counts = {split: dict(sorted(counts[split].items())) for split in ("", *SPLITS) if split in counts}
    return counts, has_groups


def _write(plan: Plan, folder: Path, advance: Advance) -> None:
    for name, pieces in plan.images():
        path = folder / name
        digest = hashlib.sha256()
        with path.open("xb") as out:
            for piece in pieces:
                digest.update(piece)
                out.write(piece)
        if sha256_of(path) != digest.hexdigest():
            raise GraftError(
                f"'{name}' reads back from {folder} with other bytes than were written",
                "Check that disk; nothing has changed in data/",
            )
        advance(1)


def _require_whole(folder: Path, expected: int) -> None:
    written = sum(len(files) for _, _, files in os.walk(folder))
    if written != expected:
        raise GraftError(
            f"{written} of {expected} images arrived in {folder}", "Run it again; nothing has changed in data/"
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
