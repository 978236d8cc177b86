"""Flowers of Oxford, 17 and 102 kinds: class numbers in the order of the images, in files of MATLAB.

jpg/image_00001.jpg
imagelabels.mat      labels: the class of each image, from 1
setid.mat            trnid, valid, tstid: numbers of the images in train, val and test
"""

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import ClassVar, Literal

from graft.data.folder.photographs import is_image_name
from graft.data.sources.matlab_files import vectors_of_mat
from graft.data.sources.readers.reader import Files, Plan, Reader, damaged

_LABELS, _SPLITS = "imagelabels.mat", "setid.mat"


class FlowersReader(Reader):
    """Files of MATLAB that know images by their numbers alone."""

    kind: Literal["flowers"]
    tables: ClassVar = (_LABELS, _SPLITS)

    def fits(self, files: Files) -> bool:
        return all(files.find(name) for name in (_LABELS, _SPLITS))

    def plan(self, files: Files, classes: Sequence[str]) -> Plan:
        found = {
            name: vectors_of_mat(name, stream.read()) for name, stream in files.open(map(files.get, (_LABELS, _SPLITS)))
        }
        labels, splits = found[files.get(_LABELS)].get("labels", []), found[files.get(_SPLITS)]
        images = sorted(name for name in files.sizes if is_image_name(name) and "image_" in name)
        if len(images) != len(labels):
            raise damaged(_LABELS, files, f"it has {len(labels)} labels, and there are {len(images)} images")
        targets = {}
        for vector, split in (("trnid", "train"), ("valid", "val"), ("tstid", "test")):
            for number in splits.get(vector, []):
                if not 0 < number <= len(images):
                    raise damaged(_SPLITS, files, f"it names the image {number}, and there are {len(images)}")
                name = images[number - 1]
                targets[name] = f"{split}/{labels[number - 1]}/{PurePosixPath(name).name}"
        return files.copy(targets)
