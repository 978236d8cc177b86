"""Copy a delivery into a folder of its own, images into class folders, where they can be checked."""

import contextlib
import shutil
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from graft.automation.retraining.deliveries import Delivery
from graft.core.download.fetch import SPARE_BYTES
from graft.core.errors import GraftError
from graft.data.archives.nested_source import NestedSource
from graft.data.archives.open_archive import Source, open_source
from graft.data.folder.photographs import UNREAD, is_image_file
from graft.data.folder.split_folders import split_of

_ARCHIVES = ("zip", "tar", "tgz", "gz", "bz2", "xz", "7z", "rar", "deb", "whl")


@dataclass(frozen=True)
class LeftOutFile:
    """A file of a delivery that does not go into data/.

    Attributes:
        file: where its bytes are now.
        path: in the delivery.
        why: in a few words.
        is_picture: somebody meant it for data/; else it is a note or the like.
    """

    file: Path
    path: str
    why: str
    is_picture: bool = True


@dataclass(frozen=True)
class Unpacked:
    """A delivery's files on this disk.

    Attributes:
        folder: with a folder for each class.
        images: paths of files below ``folder``, with forward slashes, each with its path in the delivery.
        astray: all other files.
    """

    folder: Path
    images: dict[str, str]
    astray: list[LeftOutFile]


def unpack(delivery: Delivery, target: Path, classes: Collection[str], is_official: bool) -> Unpacked:
    """Copy a delivery's files, bytes as they are.

    Folders that lie around all of its class folders are left away, and so is ``train/`` where data/ has split
    folders too.

    Args:
        target: an empty folder, or none yet; ``data`` in it gets the images, ``astray`` all other files.

    Raises:
        GraftError: the delivery cannot be read: damaged, unsafe, or larger unpacked than the disk has room for.
    """
    folder, beside = target / "data", target / "astray"
    folder.mkdir(parents=True, exist_ok=True)
    beside.mkdir(exist_ok=True)
    with contextlib.ExitStack() as stack:
        sources = [_named(stack.enter_context(_open(path, target)), delivery) for path in delivery.paths]
        names_of = [(source, [member.name for member in source.members()]) for source in sources]
        everything = [name for _, some in names_of for name in some]
        if len(set(everything)) < len(everything):
            (twice, _), *_ = Counter(everything).most_common(1)
            raise GraftError(f"it holds '{twice}' more than once", "Pack it again with each file once")
        names = [name for source, some in names_of for name in source.images_among(some)]
        splits = {part for name in names for part in PurePosixPath(name).parts if split_of(part)}
        depth = _folders_around(names, {*classes, *(splits if is_official else ())})
        images: dict[str, str] = {}
        taken = set(names)
        astray = {name: _not_read(name) for name in everything if name not in taken}
        for name in names:
            below = PurePosixPath(*PurePosixPath(name).parts[depth:])
            split = split_of(below.parts[0]) if len(below.parts) > 2 else ""
            if is_official and split and below.parts[0] not in classes:
                if split != "train":
                    astray[name] = (f"meant for {split}, which no delivery may change", True)
                    continue
                below = PurePosixPath(*below.parts[1:])
            if len(below.parts) < 2:
                astray[name] = ("in no class folder", True)
            elif below.as_posix() in images:
                astray[name] = (f"takes the same place as '{images[below.as_posix()]}'", True)
            else:
                images[below.as_posix()] = name
        place = {name: folder / where for where, name in images.items()}
        place |= {name: beside / str(number) for number, name in enumerate(astray)}
        for source in sources:
            for member, pieces in source.read(place):
                place[member.name].parent.mkdir(parents=True, exist_ok=True)
                with place[member.name].open("wb") as out:
                    for piece in pieces:
                        out.write(piece)
    left = [LeftOutFile(place[name], name, why, is_picture) for name, (why, is_picture) in astray.items()]
    return Unpacked(folder, images, left)


def _not_read(name: str) -> tuple[str, bool]:
    suffix = PurePosixPath(name).suffix.lower()
    if suffix.removeprefix(".") in _ARCHIVES:
        return "an archive inside the delivery, which is not opened", True
    if suffix in UNREAD:
        return f"in the format {suffix.removeprefix('.').upper()}, which graft does not read", True
    return "no image", False


def _named(source: Source, delivery: Delivery) -> Source:
    """Return a source whose names begin with its folder, where that is one of several, or a class's."""
    path = source.path
    is_class = path.is_dir() and any(child.is_file() and is_image_file(child) for child in path.iterdir())
    return NestedSource(source, path.name) if len(delivery.paths) > 1 or is_class else source


def _open(path: Path, target: Path) -> Source:
    free = shutil.disk_usage(target).free
    return open_source(path, max(0, free - SPARE_BYTES))


def _folders_around(names: Sequence[str], known: Collection[str]) -> int:
    """Return how many folders lie around the class folders, or the split folders around these.

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
