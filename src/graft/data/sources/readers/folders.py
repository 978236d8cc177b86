"""Class folders, with or without split folders around them; image files are taken as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Literal

from pydantic import Field

from graft.bundle.images import SUFFIXES
from graft.core.errors import GraftError
from graft.data.sources.readers.reader import Files, Plan, Reader


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
        images = [name for name in sizes if is_image(name)]
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
        return Plan(plan.sizes, plan.images, left_out=len(sizes) - len(targets))


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
