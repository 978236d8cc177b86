"""How a folder of photographs says which class, split and group an image belongs to.

Two layouts, told apart by the names of the top folders::

    data/<class>/...            one folder per class; graft makes the split
    data/train/<class>/...      an official split: train/ with test/, val/ or both beside it
    data/test/<class>/...

Below a class folder images may lie in folders of any depth. One called ``group=NAME``, as Hive and Parquet write
partitions, says what its images belong to: a patient, a camera, a hand. So groups go wherever the images go,
through DVC and back; a table beside data/ would have to be kept in step with it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from graft.bundle.images import START_BYTES, SUFFIXES, is_image_start
from graft.core.errors import GraftError

# Folder names seen for each split in the data sets of the field, lower case.
SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
# What a folder's name cannot hold, on one system or another.
UNSAFE = re.compile(r'[\\/:*?"<>|\x00-\x1f\x7f]')
GROUP_PREFIX = "group="


@dataclass(frozen=True)
class Layout:
    """The layout of one folder of photographs: top folders by split where there is an official split."""

    root: Path
    split_folders: dict[str, str]  # folder name -> train, val or test; empty without an official split

    @property
    def is_official(self) -> bool:
        return bool(self.split_folders)

    def place(self, path: Path) -> tuple[str, str]:
        """(label, split) of an image below the root; split is ``""`` without an official split."""
        parts = path.relative_to(self.root).parts
        if self.is_official:
            return parts[1], self.split_folders[parts[0]]
        return parts[0], ""

    def group(self, path: Path) -> str:
        """The group of an image below the root, as its outermost group folder names it, or ``""``."""
        folders = path.relative_to(self.root).parts[2 if self.is_official else 1 : -1]
        for folder in folders:
            if folder.startswith(GROUP_PREFIX):
                return unquote(folder.removeprefix(GROUP_PREFIX))
        return ""


def group_folder(group: str) -> str:
    """The name of a group's folder; what a folder's name cannot hold is escaped as in a web address."""
    safe = re.sub(rf"%|{UNSAFE.pattern}|[. ]$", lambda found: f"%{ord(found[0]):02X}", group)
    return f"{GROUP_PREFIX}{safe}"


def read_layout(root: Path) -> Layout:
    """The layout of ``root``.

    Raises:
        GraftError: the folder is missing or holds no class folders, or split folders lie beside other folders,
            so that both layouts would be meant at once.
    """
    if not root.is_dir():
        raise GraftError(
            f"There is no folder {root.name}/ in {root.parent}",
            "Bring data in with `graft data use traffic_lights` or `graft data import FOLDER`",
        )
    folders = sorted(entry.name for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if not folders:
        raise GraftError(
            f"{root.name}/ holds no folders",
            "Put the images of each class in a folder named after it, or run `graft data import FOLDER`",
        )
    split_folders = {name: SPLIT_FOLDERS[name.lower()] for name in folders if name.lower() in SPLIT_FOLDERS}
    if "train" not in split_folders.values() or len(split_folders) < 2:
        # A class may well be called 'test' or 'train'; an official split needs train and one more.
        return Layout(root, {})
    strays = [name for name in folders if name not in split_folders]
    if strays:
        raise GraftError(
            f"{root.name}/ has split folders ({', '.join(split_folders)}) and beside them '{strays[0]}'",
            "Use either split folders with class folders inside, or class folders alone",
        )
    if len(set(split_folders.values())) < len(split_folders):
        raise GraftError(
            f"{root.name}/ has two folders for one split: {', '.join(split_folders)}",
            "Merge them: one folder each for train, val and test",
        )
    return Layout(root, split_folders)


@dataclass(frozen=True, slots=True)
class ImageFile:
    """A file that should be an image.

    Attributes:
        name: path below the root, with forward slashes, as the file system has it.
        place: label and split, as :meth:`Layout.place` gives them, and group.
        entry: of its folder; its status is looked up when first asked for.
    """

    name: str
    place: tuple[str, str, str]
    entry: os.DirEntry[str]

    @property
    def path(self) -> Path:
        return Path(self.entry.path)

    def leads_out(self, root: Path) -> bool:
        """Return whether it is a link to a place that is not below ``root``, a resolved path."""
        # realpath takes a link that leads to itself as it stands; Path.resolve would raise.
        return self.entry.is_symlink() and not Path(os.path.realpath(self.entry.path)).is_relative_to(root)


def image_files(layout: Layout) -> Iterator[ImageFile]:
    """Every file that lies in a class folder and has an image's suffix (or none, and begins as one), in a fixed order.

    A folder's files come before those of its folders, each by name. Files of other kinds are passed over, and so are
    folders that cannot be read.
    """
    depth = 2 if layout.is_official else 1
    folders = [(str(layout.root), "")]  # where it lies, and its path below the root
    while folders:
        folder, below = folders.pop()
        try:
            with os.scandir(folder) as found:
                entries = sorted((entry for entry in found if entry.name[0] != "."), key=lambda entry: entry.name)
        except OSError:
            continue
        prefix = f"{below}/" if below else ""
        inside = [entry for entry in entries if _is_folder(entry)]
        # A link to a folder is neither a file nor followed.
        folders += [(e.path, f"{prefix}{e.name}") for e in reversed(inside) if not e.is_symlink()]
        if prefix.count("/") < depth:
            continue
        within = layout.root / below / "file"
        place = (*layout.place(within), layout.group(within))
        passed = {entry.name for entry in inside}
        for entry in entries:
            name = entry.name
            if name in passed or not _is_image(entry):
                continue
            yield ImageFile(f"{prefix}{name}", place, entry)


def _is_image(entry: os.DirEntry[str]) -> bool:
    """Whether a file is taken for an image: by its suffix, and where it has none, by its first bytes."""
    name = entry.name
    if "." in name:
        return name[name.rfind(".") :].lower() in SUFFIXES
    try:
        if not entry.is_file():
            return False  # a named pipe would be read for ever
        with Path(entry.path).open("rb") as stream:
            return is_image_start(stream.read(START_BYTES))
    except OSError:
        return False


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False  # a link that leads to itself, for example
