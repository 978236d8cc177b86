"""CUB-200-2011: images in folders, and what they are in text tables that share an image's number.

images.txt              1 001.Black_footed_Albatross/Black_Footed_Albatross_0046_18.jpg
image_class_labels.txt  1 1
classes.txt             1 001.Black_footed_Albatross
train_test_split.txt    1 0           1 is train, 0 is test
"""

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import ClassVar, Literal

from graft.data.sources.readers.reader import Files, Plan, Reader, damaged

_TABLES = ("images.txt", "image_class_labels.txt", "classes.txt", "train_test_split.txt")


class BirdsReader(Reader):
    """The tables of CUB-200-2011; the classes are named in the archive itself."""

    kind: Literal["birds"]
    tables: ClassVar = _TABLES

    def fits(self, files: Files) -> bool:
        return all(files.find(name) for name in _TABLES)

    def plan(self, files: Files, classes: Sequence[str]) -> Plan:
        top = PurePosixPath(files.get(_TABLES[0])).parent
        images, labels, names, is_train = (_pairs((top / name).as_posix(), files) for name in _TABLES)
        targets = {}
        for number, image in images.items():
            try:
                folder = names[labels[number]]
                split = {"1": "train", "0": "test"}[is_train[number]]
            except KeyError:
                why = f"image {number} has no class, or no split, in the tables beside it"
                raise damaged((top / _TABLES[0]).as_posix(), files, why) from None
            targets[(top / "images" / image).as_posix()] = f"{split}/{folder}/{PurePosixPath(image).name}"
        return files.copy(targets)


def _pairs(name: str, files: Files) -> dict[str, str]:
    """Return the values of a table of numbers and values, by number."""
    pairs = {}
    for position, line in enumerate(files.text(files.get(name)).splitlines(), 1):
        number, _, value = line.strip().partition(" ")
        if value:
            pairs[number] = value.strip()
        elif number:
            raise damaged(name, files, f"line {position} is '{line.strip()}', not a number and a value")
    return pairs
