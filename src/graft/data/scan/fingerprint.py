"""Describe a picture in a few numbers: perceptual hash, small thumbnail, brightness, sharpness.

They are taken in the scan, while the picture is decoded anyway, and stored in the manifest: near-duplicates and
pictures that stand out are then found without reading a file again.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image

THUMBNAIL_SIDE = 8
THUMBNAIL_BYTES = THUMBNAIL_SIDE * THUMBNAIL_SIDE * 3
# Sharpness depends on the scale: at one size, photographs of a camera and of a telephone compare.
_SHARPNESS_SIDE = 256


@dataclass(frozen=True)
class Fingerprint:
    """A picture in a few numbers.

    Attributes:
        phash: 64-bit perceptual hash, 16 hex digits: signs of the low frequencies of the picture's cosine transform
            (Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010).
        thumbnail: uint8 ``[8, 8, 3]`` as 192 bytes: RGB, each pixel the mean of the area it stands for.
        brightness: mean luma, 0 (black) to 1 (white).
        sharpness: variance of the Laplacian of the luma (0..255) of the picture shrunk to at most 256 pixels a side
            (Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy", 2000); low is blurred or flat.
    """

    phash: str
    thumbnail: bytes
    brightness: float
    sharpness: float


def fingerprint(image: Image.Image) -> Fingerprint:
    """Return the fingerprint of an upright RGB picture; equal pixels give an equal one. Safe in threads."""
    import imagehash

    small = image
    if max(image.size) > _SHARPNESS_SIDE:
        small = image.copy()
        small.thumbnail((_SHARPNESS_SIDE, _SHARPNESS_SIDE), Image.Resampling.BOX, reducing_gap=None)
    grey = small.convert("L")
    luma = np.asarray(grey, dtype=np.float32)
    thumbnail = small.resize((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.BOX)
    return Fingerprint(
        phash=str(imagehash.phash(grey)),
        thumbnail=thumbnail.tobytes(),
        brightness=float(luma.mean(dtype=np.float64) / 255),
        sharpness=_laplacian_variance(luma),
    )


def _laplacian_variance(luma: np.ndarray) -> float:
    """Return the variance of the four-neighbour Laplacian of ``[H, W]`` values; 0 where there is no inner pixel."""
    if min(luma.shape) < 3:
        return 0.0
    centre = luma[1:-1, 1:-1]
    laplacian = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:] - 4 * centre
    return float(laplacian.var(dtype=np.float64))
