"""What photographs suffer, at five severities: blur, noise, darkness, JPEG, rotation, loss of resolution.

The kinds and the five steps are those of D. Hendrycks and T. Dietterich, Benchmarking neural network robustness to
common corruptions and perturbations, ICLR 2019, as far as a camera or an upload brings them about; strengths are set so
that the first is hardly seen and the last leaves what a person still recognises.
"""

import io
from collections.abc import Callable, Mapping

import numpy as np
from PIL import Image, ImageFilter

SEVERITIES = (1, 2, 3, 4, 5)
_BLUR = (0.01, 0.02, 0.03, 0.045, 0.065)  # deviation, of the side
_NOISE = (0.03, 0.06, 0.1, 0.15, 0.22)  # deviation, of white
_DARKNESS = (0.7, 0.5, 0.35, 0.22, 0.12)  # what is left of the light
_JPEG = (40, 25, 15, 10, 7)  # quality
_ROTATION = (5, 10, 20, 35, 60)  # degrees, to the left and to the right in turns
_SCALE = (0.75, 0.5, 0.35, 0.25, 0.15)  # of the side, to which the image is shrunk before it is enlarged again

# Of pixels uint8 [N, S, S, 3] and a severity 1..5, the pixels that are left.
Corruption = Callable[[np.ndarray, int], np.ndarray]


def _of_each(images: np.ndarray, change: Callable[[Image.Image, int], Image.Image]) -> np.ndarray:
    return np.stack([np.asarray(change(Image.fromarray(one), number)) for number, one in enumerate(images)])


def blur(images: np.ndarray, severity: int) -> np.ndarray:
    """Return images out of focus."""
    deviation = _BLUR[severity - 1] * images.shape[1]
    return _of_each(images, lambda one, _: one.filter(ImageFilter.GaussianBlur(deviation)))


def noise(images: np.ndarray, severity: int) -> np.ndarray:
    """Return images with the noise of a sensor; the same for the same number of images."""
    drawn = np.random.default_rng(severity).normal(0, 255 * _NOISE[severity - 1], images.shape)
    return np.clip(images + drawn, 0, 255).round().astype(np.uint8)


def darkness(images: np.ndarray, severity: int) -> np.ndarray:
    """Return images with less light."""
    return (images * _DARKNESS[severity - 1]).round().astype(np.uint8)


def jpeg(images: np.ndarray, severity: int) -> np.ndarray:
    """Return images as they come out of a strongly compressed JPEG file."""

    def saved(one: Image.Image, _: int) -> Image.Image:
        file = io.BytesIO()
        one.save(file, "JPEG", quality=_JPEG[severity - 1])
        return Image.open(file).convert("RGB")

    return _of_each(images, saved)


def rotation(images: np.ndarray, severity: int) -> np.ndarray:
    """Return images turned, the corners filled with the mean colour."""

    def turned(one: Image.Image, number: int) -> Image.Image:
        degrees = _ROTATION[severity - 1] * (-1) ** number
        mean = tuple(int(value) for value in np.asarray(one).reshape(-1, 3).mean(axis=0).round())
        return one.rotate(degrees, Image.Resampling.BILINEAR, fillcolor=mean)

    return _of_each(images, turned)


def scale(images: np.ndarray, severity: int) -> np.ndarray:
    """Return images as of a smaller photograph, enlarged again."""
    side = images.shape[1]
    small = max(1, round(_SCALE[severity - 1] * side))

    def shrunk(one: Image.Image, _: int) -> Image.Image:
        return one.resize((small, small), Image.Resampling.BILINEAR).resize((side, side), Image.Resampling.BILINEAR)

    return _of_each(images, shrunk)


CORRUPTIONS: Mapping[str, Corruption] = {
    "blur": blur,
    "noise": noise,
    "darkness": darkness,
    "jpeg": jpeg,
    "rotation": rotation,
    "scale": scale,
}
