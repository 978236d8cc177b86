"""Class folders, with or without split folders around them; image files are taken as they are."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field

from graft.bundle.images import SUFFIXES
from graft.core.errors import GraftError
from graft.data.folder.photographs import LEFTOVER, NOTES, UNREAD, by_suffix, images_among, no_notes, suffix_of
from graft.data.folder.split_folders import arrange, split_folders
from graft.data.sources.readers.reader import Files, Plan, Reader

UNLABELLED = "in a split without class folders"  # as a reason why images are left out


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
        images = images_among(sizes, files.read)
        if self.folders:
            targets = {name: target for name in images if (target := _mapped(name, self.folders))}
        else:
            depth = _shared_folders(images)
            below = {name.split("/", depth)[depth]: name for name in images}
            places, unlabelled = arrange(list(below))
            if unlabelled:  # what stays may be train alone
                train = _shared_folders(list(places))
                places = {name: place.split("/", train)[train] for name, place in places.items()}
            targets = {below[name]: place for name, place in places.items()}
            without_class = {below[name]: UNLABELLED for name in unlabelled}
        if not targets:
            where = f" in {', '.join(self.folders)}" if self.folders else ""
            raise GraftError(
                f"{files.where} holds no images{where} ({len(sizes)} other files)",
                f"An image is a file that ends in one of {' '.join(sorted(SUFFIXES))}",
            )
        plan = files.copy(targets)
        if self.folders:  # what was not named was not meant
            return plan
        others = {name: "" for name in sizes if name not in targets and name not in without_class}
        left_out = {**others, **files.left_out}
        require_most_of_each_class(
            [name.split("/", depth)[-1] for name in targets],
            {name.split("/", depth)[-1]: why for name, why in left_out.items()},
        )
        return Plan(plan.sizes, plan.images, left_out={**left_out, **without_class})


def require_most_of_each_class(images: Sequence[str], left_out: Mapping[str, str]) -> None:
    """Pass where no class has more pictures that graft does not read than images.

    Notes beside the images, a text file for each, are no pictures.

    Args:
        images: names below the folders around all images.
        left_out: names of other files there, with the reason where it is not that they are no images.

    Raises:
        GraftError: names the class and what was left out of it, by suffix.
    """
    splits = split_folders({name.partition("/")[0] for name in images}).keys()

    def class_of(name: str) -> str:
        folders = name.split("/")[:-1]
        while len(folders) > 1 and folders[0] in splits:
            del folders[0]
        return folders[0] if folders else ""

    taken = Counter(class_of(name) for name in images)
    others = [name for name, why in left_out.items() if why != LEFTOVER and (why or suffix_of(name) not in NOTES)]
    meant = {*no_notes(others, images), *(name for name in others if left_out[name] or suffix_of(name) in UNREAD)}
    for label, count in sorted(Counter(class_of(name) for name in meant).items()):
        if label and count > taken[label]:
            lost = [name for name in others if class_of(name) == label]
            raise GraftError(
                f"The class '{label}' would lose most of its files: {by_suffix(lost)} are no images that graft reads, "
                f"and {taken[label]:,} are",
                "Convert them to JPEG or PNG (of a film, take single pictures), or move them out of the folder, and "
                "import it again",
            )


def _mapped(name: str, folders: Mapping[str, str]) -> str:
    for prefix, folder in folders.items():
        if name.startswith(f"{prefix}/"):
            rest = name.removeprefix(f"{prefix}/")
            return f"{folder}/{rest}" if folder else rest
    return ""


def _shared_folders(names: Sequence[str]) -> int:
    """Return how many folders lie around all images: archive/rps/rock/1.png has two, if rock is one of several."""
    depth = 0
    folders = [name.split("/")[:-1] for name in names]
    # The innermost one is a class, however alone it is.
    while folders and all(len(path) > depth + 1 and path[depth] == folders[0][depth] for path in folders):
        depth += 1
    return depth
