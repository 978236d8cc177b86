"""Photographs, single ones and whole folders, through a pretrained network; broken ones do not stop the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from graft.bundle.images import UnreadableImageError, open_image, to_rgb
from graft.bundle.paths import read_file
from graft.data.folder.photographs import images_below

if TYPE_CHECKING:
    from graft.networks.imagenet.imagenet_network import ImageNetClassifier

BATCH = 32

# Of the shorter side: ImageNet's networks are measured on the central 224 of 256 pixels. On 1,399 photographs of
# cats and dogs that is better than the whole photograph squeezed to a square, which makes animals thin or fat.
CENTRE_SHARE = 224 / 256


@dataclass(frozen=True)
class Guess:
    """One class and its probability, 0..1; ``index`` is its place in the network's head."""

    label: str
    index: int
    probability: float


@dataclass(frozen=True)
class Seen:
    """What the network sees in one photograph, most likely first; or ``problem``, why it was not shown one."""

    photograph: Path
    guesses: tuple[Guess, ...] = ()
    problem: str = ""


def find_photographs(paths: Sequence[Path]) -> list[Path]:
    """The paths, with folders replaced by the image files in them and below, in a fixed order; each once.

    Raises:
        GraftError: a folder holds no image.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if not path.is_dir():
            found[path] = None
            continue
        found.update(dict.fromkeys(images_below(path)))
    return list(found)


def classify(classifier: ImageNetClassifier, photographs: Sequence[Path], top: int) -> Iterator[Seen]:
    """What the network sees in each photograph, in their order: its ``top`` most likely classes."""
    for start in range(0, len(photographs), BATCH):
        batch = photographs[start : start + BATCH]
        seen: dict[Path, Seen] = {}
        images: dict[Path, np.ndarray] = {}
        for path in batch:
            try:
                images[path] = centre_square(read_file(path), classifier.image_size)
            except UnreadableImageError as error:
                seen[path] = Seen(path, problem=str(error))
        if images:
            answers = classifier.probabilities(np.stack(list(images.values())))
            for path, probabilities in zip(images, answers, strict=True):
                seen[path] = Seen(path, _best(classifier.classes, probabilities, top))
        yield from (seen[path] for path in batch)


def centre_square(data: bytes, size: int) -> np.ndarray:
    """The middle of an image file, uint8 ``[size, size, 3]``, RGB: a square of 7/8 of the shorter side.

    Raises:
        UnreadableImageError: the bytes are no image that can be used.
    """
    image = open_image(data)
    if image.format in ("JPEG", "MPO"):
        image.draft("RGB", (2 * size, 2 * size))  # decodes at a fraction where that leaves twice the size
    image = to_rgb(image)
    side = CENTRE_SHARE * min(image.size)
    left, top = ((length - side) / 2 for length in image.size)
    box = (left, top, left + side, top + side)
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR, box=box), dtype=np.uint8)


def _best(classes: list[str], probabilities: np.ndarray, top: int) -> tuple[Guess, ...]:
    order = np.argsort(-probabilities, kind="stable")[:top]
    return tuple(Guess(classes[index], int(index), float(probabilities[index])) for index in order)
