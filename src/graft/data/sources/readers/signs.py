"""GTSRB: training images in numbered class folders, test images in one folder with a table of class numbers.

    GTSRB/Final_Training/Images/00000/00000_00000.ppm    class 0, track 0, frame 0
    GTSRB/Final_Training/Images/00000/GT-00000.csv       boxes, passed over
    GTSRB/Final_Test/Images/00000.ppm
    GT-final_test.csv                                    Filename;Width;...;ClassId

Unpacked copies have the training folders as ``Train/00000/`` or ``Training/00000/``. Without test images the
training images come without a split, for graft to divide by track.
"""

import csv
import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Literal

from graft.core.errors import GraftError
from graft.data.folder.photographs import is_image_name
from graft.data.sources.readers.reader import Files, Plan, Reader, damaged, label_of

_TRAIN = re.compile(r"(?:^|/)(?:Final_Training/Images|Training|Train)/(\d{1,5})/([^/]+)$", re.IGNORECASE)
_TEST = re.compile(r"(?:^|/)(?:Final_Test/Images|Test)/([^/]+)$", re.IGNORECASE)


class SignsReader(Reader):
    """Numbered class folders and a test table.

    Attributes:
        table: the table of the test images' classes.
    """

    kind: Literal["signs"]
    table: str

    def fits(self, files: Files) -> bool:
        return any(_TRAIN.search(name) for name in files.sizes)

    def plan(self, files: Files, classes: Sequence[str]) -> Plan:
        names = [name for name in files.sizes if is_image_name(name)]
        train = {name: match for name in names if (match := _TRAIN.search(name))}
        test = {match[1]: name for name in names if (match := _TEST.search(name))}
        if not train:
            raise GraftError(f"{files.where} holds no training images", "Name the training archive or folder")
        prefix = "train/" if test else ""
        targets = {
            name: f"{prefix}{label_of(int(match[1]), classes, name, files)}/{match[2]}" for name, match in train.items()
        }
        if test:
            for file, label in self._labels(files, classes).items():
                if file not in test:
                    raise GraftError(
                        f"{files.where} holds no '{file}', which {self.table} names", "Fetch or unpack it again"
                    )
                targets[test[file]] = f"test/{label}/{file}"
        return files.copy(targets)

    def _labels(self, files: Files, classes: Sequence[str]) -> dict[str, str]:
        """Return the class of every test image by its file's name."""
        name = files.find(self.table)
        if name is None:
            raise GraftError(
                f"{files.where} holds test images, but not '{self.table}' with their classes",
                f"Put {self.table} beside them; it is published in an archive of its own",
            )
        labels: dict[str, str] = {}
        for row in csv.DictReader(files.text(name).splitlines(), delimiter=";"):
            try:
                file, number = PurePosixPath(row["Filename"]).name, int(row["ClassId"])
            except (KeyError, TypeError, ValueError):
                why = f"line {len(labels) + 2} has no Filename or no ClassId"
                raise damaged(name, files, why) from None
            labels[file] = label_of(number, classes, name, files)
        return labels
