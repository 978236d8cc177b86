"""PNG sheets with one image in each row of pixels, read left to right, and labels as lists in JSON."""

import json
import math
import struct
from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

from graft.bundle.images import UnreadableImageError, open_image, to_rgb
from graft.data.sources.readers.pixels import png, png_size, target
from graft.data.sources.readers.reader import Files, Images, Plan, Reader, damaged, label_of

_HEADER = struct.Struct(">8s8xII")  # a PNG file's mark, then width and height


class SheetsOfSplit(BaseModel):
    """One split: its sheets in order, and the labels of all of them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sheets: list[str]
    labels: str


class SheetsReader(Reader):
    """Images as the rows of larger pictures.

    Attributes:
        splits: the sheets and labels of each split.
    """

    kind: Literal["sheets"]
    splits: dict[Literal["train", "test"], SheetsOfSplit]

    def fits(self, files: Files) -> bool:
        return all(files.find(name) for part in self.splits.values() for name in (*part.sheets, part.labels))

    def plan(self, files: Files, classes: Sequence[str]) -> Plan:
        sheets = {files.get(end): split for split, part in self.splits.items() for end in part.sheets}
        shapes = {name: _shape(stream.read(_HEADER.size), name, files) for name, stream in files.open(sheets)}
        sizes: dict[str, int] = {}
        targets: dict[str, list[str]] = {}
        for split, part in self.splits.items():
            name = files.get(part.labels)
            labels = [label_of(number, classes, name, files) for number in _numbers(name, files)]
            first = 0
            for sheet in (files.get(end) for end in part.sheets):
                side, count = shapes[sheet]
                here = list(enumerate(labels))[first : first + count]
                targets[sheet] = [target(split, label, position) for position, label in here]
                sizes |= dict.fromkeys(targets[sheet], png_size(side, side, 3))
                first += count
            if first != len(labels):
                raise damaged(name, files, f"it has {len(labels)} labels, and there are {first} images")

        def images() -> Images:
            for name, stream in files.open(sheets):
                side, _ = shapes[name]
                try:
                    sheet = to_rgb(open_image(stream.read()))
                except UnreadableImageError as error:
                    raise damaged(name, files, str(error)) from None
                for row, image in enumerate(targets[name]):
                    pixels = sheet.crop((0, row, sheet.width, row + 1)).tobytes()
                    yield image, [png(pixels, side, side, 3)]

        return Plan(sizes, images)


def _shape(start: bytes, name: str, files: Files) -> tuple[int, int]:
    """Return the side of the images in a sheet in pixels, and how many there are."""
    if len(start) < _HEADER.size or not start.startswith(b"\x89PNG\r\n\x1a\n"):
        raise damaged(name, files, "it is no PNG file")
    _, width, height = _HEADER.unpack(start)
    side = math.isqrt(width)
    if side * side != width:
        raise damaged(name, files, f"a row of {width} pixels is no square image")
    return side, height


def _numbers(name: str, files: Files) -> list[int]:
    try:
        numbers = json.loads(files.text(name))
    except ValueError:
        numbers = None
    if not isinstance(numbers, list) or not all(type(number) is int for number in numbers):
        raise damaged(name, files, "it is no list of class numbers")
    return numbers
