"""From a delivery to files in class folders, in a folder of their own beside data/, where they can be looked at."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from graft.data.archives import Source, open_source
from graft.data.layout import SPLIT_FOLDERS
from graft.data.readers.folders import is_image
from graft.errors import GraftError
from graft.fetch import SPARE_BYTES
from graft.retraining.deliveries import Delivery


@dataclass(frozen=True)
class Unpacked:
    """A delivery's images on this disk.

    Attributes:
        folder: with a folder for each class.
        images: paths of files below ``folder``, with forward slashes, each with its path in the delivery.
        astray: paths in the delivery of images that lie in no class folder, and why not.
    """

    folder: Path
    images: dict[str, str]
    astray: dict[str, str]


def unpack(delivery: Delivery, target: Path, classes: Collection[str], is_official: bool) -> Unpacked:
    """Copies a delivery's images, bytes as they are.

    Folders that lie around all of its class folders are left away, and so is ``train/`` where data/ has split
    folders too.

    Args:
        delivery: from the inbox.
        target: an empty folder, or none yet.
        classes: those that data/ knows.
        is_official: whether data/ has split folders.

    Raises:
        GraftError: the delivery cannot be read: damaged, unsafe, or larger unpacked than the disk has room for.
    """
    target.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        sources = [_Named(stack.enter_context(_open(path, target)), delivery) for path in delivery.paths]
        names = [name for source in sources for name in source.names()]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise GraftError(f"it holds '{twice}' more than once", "Pack it again with each file once")
        splits = {
            part for name in names for part in PurePosixPath(name).parts if part.lower() in SPLIT_FOLDERS
        }
        depth = _folders_around(names, {*classes, *(splits if is_official else ())})
        images: dict[str, str] = {}
        astray: dict[str, str] = {}
        for name in names:
            below = PurePosixPath(*PurePosixPath(name).parts[depth:])
            split = SPLIT_FOLDERS.get(below.parts[0].lower()) if len(below.parts) > 2 else None
            if is_official and split and below.parts[0] not in classes:
                if split != "train":
                    astray[name] = f"meant for {split}, which no delivery may change"
                    continue
                below = PurePosixPath(*below.parts[1:])
            if len(below.parts) < 2:
                astray[name] = "in no class folder"
            elif below.as_posix() in images:
                astray[name] = f"takes the same place as '{images[below.as_posix()]}'"
            else:
                images[below.as_posix()] = name
        place = {name: where for where, name in images.items()}
        for source in sources:
            for name, pieces in source.read(place):
                file = target / place[name]
                file.parent.mkdir(parents=True, exist_ok=True)
                with file.open("wb") as out:
                    for piece in pieces:
                        out.write(piece)
    return Unpacked(target, images, astray)


@dataclass(frozen=True)
class _Named:
    """A source whose names begin with that of the class folder where the delivery has several of these."""

    source: Source
    delivery: Delivery

    @property
    def _prefix(self) -> str:
        return f"{self.source.path.name}/" if len(self.delivery.paths) > 1 or self._is_class_folder else ""

    @property
    def _is_class_folder(self) -> bool:
        path = self.source.path
        return path.is_dir() and any(child.is_file() and is_image(child.name) for child in path.iterdir())

    def names(self) -> list[str]:
        return [f"{self._prefix}{member.name}" for member in self.source.members() if is_image(member.name)]

    def read(self, wanted: Collection[str]) -> Iterator[tuple[str, Iterator[bytes]]]:
        cut = len(self._prefix)
        mine = {name[cut:] for name in wanted if name.startswith(self._prefix)}
        for member, pieces in self.source.read(mine):
            yield f"{self._prefix}{member.name}", pieces


def _open(path: Path, target: Path) -> Source:
    free = shutil.disk_usage(target).free
    return open_source(path, max(0, free - SPARE_BYTES))


def _folders_around(names: Sequence[str], known: Collection[str]) -> int:
    """How many folders lie around the class folders, or the split folders around these.

    As many as lie around the outermost folder with a ``known`` name; where none has, around all images.
    """
    folders = [PurePosixPath(name).parts[:-1] for name in names]
    places = [depth for path in folders for depth, folder in enumerate(path) if folder in known]
    if places:
        return min(places)
    depth = 0
    while folders and all(len(path) > depth + 1 and path[depth] == folders[0][depth] for path in folders):
        depth += 1
    return depth
