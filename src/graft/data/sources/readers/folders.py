"""Class folders, with or without split folders around them; image files are taken as they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Literal, Protocol

from pydantic import Field

from graft.bundle.images import START_BYTES, SUFFIXES, is_image_start
from graft.core.errors import GraftError
from graft.data.folder.layout import SPLIT_FOLDERS
from graft.data.sources.readers.reader import Files, Plan, Reader

# Pictures and films that graft does not read: whoever lays them into a class folder means them.
UNREAD = frozenset(
    {".jxl", ".raw", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".psd", ".svg", ".tga", ".dcm"}
    | {".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".3gp"}
)


class Readable(Protocol):
    """Files of which some can be read by name."""

    def read(self, names: Collection[str], /) -> Iterator[tuple[str, Iterator[bytes]]]:
        """The bytes of the files so named, in pieces."""


class FoldersReader(Reader):
    """Class folders.

    Attributes:
        folders: from a folder in the archives to a folder in data/ (``""`` for data/ itself); what lies outside
            is left out. Empty: everything, without the top folders that all images share.
    """

    kind: Literal["folders"] = "folders"
    folders: dict[str, str] = Field(default_factory=dict)

    def fits(self, files: Files) -> bool:
        names = list(files.sizes)
        return bool(self.folders) and all(
            any(name.startswith(f"{prefix}/") for name in names) for prefix in self.folders
        )

    def plan(self, files: Files, classes: Sequence[str]) -> Plan:
        sizes = files.sizes
        unnamed = images_without_suffix(files, sizes)
        images = [name for name in sizes if is_image(name) or name in unnamed]
        if self.folders:
            targets = {name: target for name in images if (target := _mapped(name, self.folders))}
        else:
            depth = _shared_folders(images)
            targets = {name: name.split("/", depth)[depth] for name in images}
        if not targets:
            where = f" in {', '.join(self.folders)}" if self.folders else ""
            raise GraftError(
                f"{files.where} holds no images{where} ({len(sizes)} other files)",
                f"An image is a file that ends in one of {' '.join(sorted(SUFFIXES))}",
            )
        plan = files.copy(targets)
        if self.folders:  # what was not named was not meant
            return plan
        left_out = {**{name: "" for name in sizes if name not in targets}, **files.left_out}
        below = {name.split("/", depth)[-1]: why for name, why in left_out.items()}
        require_most_of_each_class(list(targets.values()), below)
        return Plan(plan.sizes, plan.images, left_out=left_out)


def is_image(name: str) -> bool:
    """Whether a file's name ends as an image's does."""
    return PurePosixPath(name).suffix.lower() in SUFFIXES


def images_without_suffix(files: Readable, names: Iterable[str]) -> set[str]:
    """The names without a suffix of files whose first bytes are an image's."""
    bare = [name for name in names if not PurePosixPath(name).suffix]
    found = files.read(bare) if bare else iter(())
    return {name for name, pieces in found if is_image_start(next(iter(pieces), b"")[:START_BYTES])}


def require_most_of_each_class(images: Sequence[str], left_out: Mapping[str, str]) -> None:
    """Pass where no class has more pictures that graft does not read than images.

    Notes beside the images, a text file for each, are no pictures.

    Args:
        images: names in data/.
        left_out: names of other files, likewise, with the reason where it is not the suffix.

    Raises:
        GraftError: names the class and what was left out of it, by suffix.
    """
    taken = Counter(_class_of(name) for name in images)
    meant = [name for name, why in left_out.items() if why or PurePosixPath(name).suffix.lower() in UNREAD]
    for label, count in sorted(Counter(_class_of(name) for name in meant).items()):
        if label and count > taken[label]:
            lost = [name for name in meant if _class_of(name) == label]
            raise GraftError(
                f"The class '{label}' would lose most of its files: {by_suffix(lost)} are no images that graft reads, "
                f"and {taken[label]:,} are",
                "Convert them to JPEG or PNG (of a film, take single pictures), or move them out of the folder, and "
                "import it again",
            )


def by_suffix(names: Iterable[str]) -> str:
    """Files counted by their suffix, the most frequent first: "100 .mov, 9 .txt"."""
    kinds = Counter(PurePosixPath(name).suffix.lower() or "without suffix" for name in sorted(names))
    return ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common())


def _class_of(name: str) -> str:
    """The class folder that a file in data/ lies in, or ""."""
    *folders, _ = PurePosixPath(name).parts
    if len(folders) > 1 and folders[0].lower() in SPLIT_FOLDERS:
        return folders[1]
    return folders[0] if folders else ""


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
