"""Read from folders which class, split and group a photograph belongs to.

Two layouts, which the names of the top folders distinguish::

    data/<class>/...            one folder per class; graft makes the split
    data/train/<class>/...      an official split: train/ with test/, val/ or both beside it, also where they are
    data/test/<class>/...       called seg_train, Training Set or dev (:mod:`graft.data.folder.split_folders`)

Below a class folder images may lie in folders of any depth. One called ``group=NAME``, as Hive and Parquet write
partitions, says what its images belong to: a patient, a camera, a hand. So groups go wherever the images go,
through DVC and back; a table beside data/ would have to be kept in step with it.
"""

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from graft.core.errors import GraftError
from graft.data.folder.photographs import is_image_file, is_in_dvc_cache, is_leftover, no_notes, suffix_of
from graft.data.folder.split_folders import split_folders, split_of

# What a folder's name cannot hold, on one system or another.
UNSAFE = re.compile(r'[\\/:*?"<>|\x00-\x1f\x7f]')
LONGEST_NAME = 200  # bytes of a folder's name; file systems allow 255
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
GROUP_PREFIX = "group="
# A table in data/: a column path or sha256, and whatever else is known of images. `graft data import TABLE` writes it.
COLUMNS_FILE = "columns.csv"


@dataclass(frozen=True)
class Layout:
    """The layout of one folder of photographs: top folders by split where there is an official split."""

    root: Path
    split_folders: dict[str, str]  # folder name -> train, val or test; empty without an official split

    @property
    def is_official(self) -> bool:
        return bool(self.split_folders)

    def place(self, path: Path) -> tuple[str, str]:
        """Return (label, split) of an image below the root; split is ``""`` without an official split."""
        parts = path.relative_to(self.root).parts
        if self.is_official:
            return parts[1], self.split_folders[parts[0]]
        return parts[0], ""

    def group(self, path: Path) -> str:
        """Return the group of an image below the root, as its outermost group folder names it, or ``""``."""
        folders = path.relative_to(self.root).parts[2 if self.is_official else 1 : -1]
        for folder in folders:
            if folder.startswith(GROUP_PREFIX):
                return unquote(folder.removeprefix(GROUP_PREFIX))
        return ""


def folder_problem(name: str) -> str:
    """Return why a class folder cannot have this name, on this system or another; empty where it can."""
    if not name:
        return "it is empty"
    if name.startswith("."):
        return "it begins with a dot"
    if unsafe := UNSAFE.search(name):
        return f"it holds {unsafe[0]!r}"
    if name.endswith((".", " ")) or _DEVICES.fullmatch(name):
        return "Windows does not allow it"
    if name.startswith(GROUP_PREFIX):
        return "folders of groups begin so"
    if len(name.encode()) > LONGEST_NAME:
        return f"it is longer than {LONGEST_NAME} bytes"
    return ""


def name_instead(label: str) -> str:
    """Return what to do about a label that cannot be a folder's name."""
    better = UNSAFE.sub("_", label).strip(" ._")[:40]
    usable = better and not folder_problem(better)
    return f"Call the class '{better}', for example" if usable else "Give the class another name"


def group_folder(group: str) -> str:
    """Return the name of a group's folder; what a folder's name cannot hold is escaped as in a web address."""
    safe = re.sub(rf"%|{UNSAFE.pattern}|[. ]$", lambda found: f"%{ord(found[0]):02X}", group)
    return f"{GROUP_PREFIX}{safe}"


def read_layout(root: Path) -> Layout:
    """Return the layout of ``root``.

    Raises:
        GraftError: the folder is missing or holds no class folders, or split folders lie beside other folders,
            so that both layouts would be meant at once.
    """
    if not root.is_dir():
        raise GraftError(
            f"There is no folder {root.name}/ in {root.parent}",
            "Bring data in with `graft data use traffic_lights` or `graft data import FOLDER`",
        )
    folders = sorted(entry.name for entry in root.iterdir() if entry.is_dir() and not is_leftover(entry.name))
    if not folders:
        raise GraftError(
            f"{root.name}/ holds no folders",
            "Put the images of each class in a folder named after it, or run `graft data import FOLDER`",
        )
    tops = split_folders(folders)
    if not tops:
        return Layout(root, {})
    strays = [name for name in folders if name not in tops]
    if strays:
        raise GraftError(
            f"{root.name}/ has split folders ({', '.join(tops)}) and beside them '{strays[0]}'",
            "Use either split folders with class folders inside, or class folders alone",
        )
    if len(set(tops.values())) < len(tops):
        raise GraftError(
            f"{root.name}/ has two folders for one split: {', '.join(tops)}",
            "Merge them: one folder each for train, val and test",
        )
    for name in tops:
        _require_class_folders(root / name)
    return Layout(root, tops)


def _require_class_folders(split: Path) -> None:
    """Raise GraftError where a split folder is a link, or holds images or splits where it should hold class folders."""
    entries = [entry for entry in split.iterdir() if not is_leftover(entry.name)]
    inside = [entry.name for entry in entries if entry.is_dir()]
    if split.is_symlink():
        raise GraftError(f"{split} is a link to a folder, which is not followed", "Put the folder itself in its place")
    if entries and not inside:
        raise GraftError(
            f"{split} holds no class folders, but {len(entries):,} files, for example {entries[0].name}",
            "Put the images of each class in a folder named after it; take images without a class out of data/: "
            "`graft predict FOLDER` names theirs",
        )
    if len(inside) == 1 and (inside[0] == split.name or split_of(inside[0])):
        raise GraftError(
            f"{split} holds no class folders, but the split folder {inside[0]} once more",
            f"Move what is in {inside[0]} one folder up",
        )


@dataclass(frozen=True, slots=True)
class FileEntry:
    """What stands for an entry of a folder on a machine that has not listed it."""

    path: str

    def is_symlink(self) -> bool:
        """Return whether it is a link."""
        return Path(self.path).is_symlink()

    def stat(self) -> os.stat_result:
        """Return the status of the file; raises OSError."""
        return Path(self.path).stat()


@dataclass(frozen=True, slots=True)
class ImageFile:
    """A file that should be an image.

    Attributes:
        name: path below the root, with forward slashes, as the file system has it.
        place: label and split, as :meth:`Layout.place` gives them, and group.
        entry: of its folder; its status is looked up when first asked for.
        unread: why graft does not open it, ``""`` where it does.
    """

    name: str
    place: tuple[str, str, str]
    entry: os.DirEntry[str] | FileEntry
    unread: str = ""

    @property
    def path(self) -> Path:
        return Path(self.entry.path)

    def leads_out(self, root: Path) -> bool:
        """Return whether it is a link to a place that is neither below ``root``, a resolved path, nor DVC's cache."""
        if not self.entry.is_symlink():
            return False
        # realpath takes a link that leads to itself as it stands; Path.resolve would raise.
        target = Path(os.path.realpath(self.entry.path))
        return not target.is_relative_to(root) and not is_in_dvc_cache(target)


def image_files(layout: Layout, passed_over: Counter[str] | None = None) -> Iterator[ImageFile]:
    """Yield every file that lies in a class folder and is an image, or was meant as one, in a fixed order.

    A folder's files come before those of its folders, each by name. What systems leave behind and notes beside images
    are passed over, and so are folders that cannot be read.

    Args:
        passed_over: gets what is passed over, by name or kind, with how many there were.
    """
    depth = 2 if layout.is_official else 1
    passed_over = Counter() if passed_over is None else passed_over
    folders = [(str(layout.root), "")]  # where it lies, and its path below the root
    while folders:
        folder, below = folders.pop()
        try:
            with os.scandir(folder) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError:
            continue
        passed_over.update(_common_name(entry.name) for entry in entries if is_leftover(entry.name))
        entries = [entry for entry in entries if not is_leftover(entry.name)]
        prefix = f"{below}/" if below else ""
        inside = {entry.name: entry.is_symlink() for entry in entries if _is_folder(entry)}
        folders += [
            (entry.path, f"{prefix}{entry.name}") for entry in reversed(entries) if inside.get(entry.name) is False
        ]
        if prefix.count("/") < depth:
            loose = [entry.name for entry in entries if entry.name not in inside]
            passed_over.update({"files in no class folder": len(loose)} if loose else {})
            if prefix.count("/") < depth - 1:
                continue
            entries = [entry for entry in entries if inside.get(entry.name)]
        elif linked := sum(inside.values()):
            passed_over.update({"links to folders": linked})
            entries = [entry for entry in entries if entry.name not in inside]
        images = {entry.name for entry in entries if entry.name not in inside and is_image_file(entry.path)}
        others = [entry.name for entry in entries if entry.name not in images and entry.name not in inside]
        meant = {name for name in no_notes(others, images) if suffix_of(name)}  # without one, such as README
        passed_over.update(f"{suffix_of(name) or 'other'} files" for name in others if name not in meant)
        place = _place(layout, folder) if images or meant else ("", "", "")
        for entry in entries:
            name = f"{prefix}{entry.name}"
            if entry.name in images:
                yield ImageFile(name, place, entry)
            elif entry.name in meant:
                yield ImageFile(name, place, entry, f"a {suffix_of(entry.name)} file, which graft does not read")
            elif inside.get(entry.name):
                yield ImageFile(name, _place(layout, entry.path), entry, "a link to a folder, which is not followed")


def _place(layout: Layout, folder: str) -> tuple[str, str, str]:
    """Label, split and group of the files in a folder."""
    file = Path(folder, "file")
    return (*layout.place(file), layout.group(file))


def _common_name(name: str) -> str:
    """Return the name that a leftover is counted under: macOS leaves one beside each file."""
    return "._*" if name.startswith("._") else name


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False  # a link that leads to itself, for example
