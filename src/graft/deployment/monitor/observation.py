"""Observe a photograph that passes by: hash, light, sharpness, size, and why it cannot be read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from graft.bundle.images import UnreadableImageError, decode, open_image, to_rgb
from graft.core.threads import in_threads
from graft.data.scan.fingerprint import fingerprint

if TYPE_CHECKING:
    from graft.deployment.predict.inputs import Photograph


@dataclass(frozen=True)
class Observation:
    """A photograph in a few numbers, as the manifest has them of the training images.

    Attributes:
        sha256: of its file, hexadecimal; ``""`` where the bytes could not be had.
        problem: why it cannot be used, ``""`` where it can; then all that follows says something.
        width, height: in pixels, as stored.
        brightness, sharpness, phash, thumbnail: see :class:`graft.data.scan.fingerprint.Fingerprint`.
        pixels: of each size asked for, uint8 ``[S, S, 3]``.
    """

    sha256: str
    problem: str = ""
    width: int = 0
    height: int = 0
    brightness: float = 0.0
    sharpness: float = 0.0
    phash: str = ""
    thumbnail: bytes = b""
    pixels: dict[int, np.ndarray] = field(default_factory=dict)


def observe(data: bytes, max_pixels: int, sizes: Sequence[int] = ()) -> Observation:
    """Return what is found in the bytes of an image file.

    Args:
        max_pixels: larger images count as unreadable.
        sizes: sides in pixels that the image is also wanted at. It is decoded anew for each, just as training does:
            any other way would differ from it by a grey level or so in every image, which a test may well find.
    """
    sha256 = hashlib.sha256(data).hexdigest()
    try:
        image = open_image(data, max_pixels)
        width, height = image.size
        found = fingerprint(to_rgb(image))
        pixels = {size: decode(data, size, max_pixels) for size in sizes}
    except UnreadableImageError as error:
        return Observation(sha256, str(error))
    return Observation(sha256, "", width, height, **asdict(found), pixels=pixels)


def observe_all(
    photographs: Iterable[Photograph], max_pixels: int, sizes: Sequence[int]
) -> Iterator[tuple[str, Observation]]:
    """Yield name and observation of each photograph, in order, some of them being read and decoded ahead in threads."""

    def look(photograph: Photograph) -> tuple[str, Observation]:
        try:
            data = photograph.read()
        except UnreadableImageError as error:
            return photograph.name, Observation("", str(error))
        return photograph.name, observe(data, max_pixels, sizes)

    return in_threads(look, photographs)
