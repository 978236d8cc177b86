"""MNIST's idx files, plain or packed with gzip: one file of pixels and one of labels for each split.

images   0 0 8 3, count, height, width (32 bits each, big-endian), then a byte per pixel
labels   0 0 8 1, count, then a byte per image
"""

import struct
from collections.abc import Sequence
from typing import IO, Literal

from pydantic import Field

from graft.data.sources.readers.pixels import png, png_size, target
from graft.data.sources.readers.reader import Files, Images, Plan, Reader, damaged, label_of

_IMAGES, _LABELS = 0x0803, 0x0801
_MNIST: dict[Literal["train", "test"], tuple[str, str]] = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
_MOST_PIXELS = 1 << 24  # in one image: a header that says more is no header


class IdxReader(Reader):
    """Images and labels in idx files.

    Attributes:
        files: by split, the names of its images and of its labels; each may end in ``.gz``.
    """

    kind: Literal["idx"] = "idx"
    files: dict[Literal["train", "test"], tuple[str, str]] = Field(default_factory=lambda: dict(_MNIST))

    def fits(self, files: Files) -> bool:
        return all(files.find(name, f"{name}.gz") for pair in self.files.values() for name in pair)

    def plan(self, files: Files, classes: Sequence[str]) -> Plan:
        pairs = {split: [files.get(name, f"{name}.gz") for name in pair] for split, pair in self.files.items()}
        split_of = {images: split for split, (images, _) in pairs.items()}
        numbers = {
            name: _labels(stream, name, files) for name, stream in files.open(labels for _, labels in pairs.values())
        }
        names = {
            split: [
                target(split, label_of(number, classes, labels, files), position)
                for position, number in enumerate(numbers[labels])
            ]
            for split, (_, labels) in pairs.items()
        }
        sides = {split_of[name]: _header(stream, name, files)[1:] for name, stream in files.open(split_of)}
        sizes = {name: png_size(width, height, 1) for split, (height, width) in sides.items() for name in names[split]}

        def images() -> Images:
            for name, stream in files.open(split_of):
                yield from _images(stream, name, names[split_of[name]], files)

        return Plan(sizes, images)


def _labels(stream: IO[bytes], name: str, files: Files) -> bytes:
    magic, count = struct.unpack(">II", _exactly(stream, 8, name, files))
    if magic != _LABELS:
        raise damaged(name, files, "it does not begin as idx files of labels do")
    labels = _exactly(stream, count, name, files)
    _require_end(stream, name, files)
    return labels


def _header(stream: IO[bytes], name: str, files: Files) -> tuple[int, int, int]:
    magic, count, height, width = struct.unpack(">IIII", _exactly(stream, 16, name, files))
    if magic != _IMAGES or not 0 < height * width <= _MOST_PIXELS:
        raise damaged(name, files, "it does not begin as idx files of images do")
    return count, height, width


def _images(stream: IO[bytes], name: str, names: Sequence[str], files: Files) -> Images:
    count, height, width = _header(stream, name, files)
    if count != len(names):
        raise damaged(name, files, f"it has {count} images, and there are {len(names)} labels")
    for image in names:
        yield image, [png(_exactly(stream, height * width, name, files), width, height, 1)]
    _require_end(stream, name, files)


def _exactly(stream: IO[bytes], size: int, name: str, files: Files) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise damaged(name, files, "it ends early")
    return data


def _require_end(stream: IO[bytes], name: str, files: Files) -> None:
    if stream.read(1):
        raise damaged(name, files, "it goes on after its last item")
