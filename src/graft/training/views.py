"""Views: changed copies of an image that are a function of its hash, a number and the seed, and of nothing else.

The random layers of :mod:`graft.training.augmentation` draw anew in every epoch, so that a backbone has to be run on
every image in every epoch. A view is drawn once for an image, whichever batch, order or run it stands in, so that
the backbone's features of it can be stored.
"""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from graft.core.params.strategy_params import AugmentParams
from graft.core.source_digest import source_digest


@functools.cache
def views_identity() -> str:
    """Return a digest of this file's code: other code, other views."""
    return source_digest(Path(__file__))


def view(images: np.ndarray, keys: Sequence[bytes], number: int, params: AugmentParams, seed: int) -> np.ndarray:
    """Return one view of each image, float32 ``[N, S, S, 3]`` in 0..255.

    All that moves pixels is one affine map, so that they are interpolated once; amounts are drawn uniformly, as by
    the random layers of the same names.

    Args:
        images: uint8 ``[N, S, S, 3]``.
        keys: hash of each image, which all that is random is drawn from.
        number: which view, from 0.
        params: what may change; MixUp, CutMix and RandAugment have no views.
        seed: of the training; another one draws other views.
    """
    draws = np.stack([_draw(key, number, seed) for key in keys])
    contrast, brightness = draws[:, 6:7], draws[:, 7:8]
    pixels: np.ndarray = images.astype(np.float32)
    if moves_pixels(params):
        pixels = keras.ops.convert_to_numpy(changed_places(pixels, draws[:, :6], params, np))
    if params.contrast:
        mean = pixels.mean(axis=(1, 2), keepdims=True)
        pixels = mean + (pixels - mean) * (1 + params.contrast * contrast[:, :, None, None])
    if params.brightness:
        pixels = pixels + 255 * params.brightness * brightness[:, :, None, None]
    return np.clip(pixels, 0, 255, dtype=np.float32)


def moves_pixels(params: AugmentParams) -> bool:
    """Return whether any change moves pixels, rather than changing their values."""
    return params.flip != "none" or any((params.rotate, params.zoom, params.translate))


def changed_places(images: Any, draws: Any, params: AugmentParams, ops: Any) -> Any:
    """Return the images ``[N, S, S, 3]`` mirrored, turned, zoomed and moved by one map each, edges drawn out.

    Args:
        draws: ``[N, 6]`` in -1..1: for mirroring along x and y, turning, zooming, moving right and down.
        ops: ``numpy``, or ``keras.ops`` within a graph.
    """
    size = images.shape[1]
    mirrors = [
        ops.where(draws[:, index] > 0, -1.0, 1.0) if params.flip in (name, "horizontal_and_vertical") else 1.0
        for index, name in enumerate(("horizontal", "vertical"))
    ]
    mirror_x, mirror_y = mirrors
    transforms = _affine(
        mirror_x,
        mirror_y,
        2 * np.pi * params.rotate * draws[:, 2],
        1 + params.zoom * draws[:, 3],
        params.translate * size * draws[:, 4],
        params.translate * size * draws[:, 5],
        (size - 1) / 2,
        ops,
    )
    transforms = keras.ops.cast(transforms, "float32")
    return keras.ops.image.affine_transform(images, transforms, interpolation="bilinear", fill_mode="nearest")


def _draw(key: bytes, number: int, seed: int) -> np.ndarray:
    """Draw eight numbers in -1..1."""
    entropy = [int.from_bytes(key, "little"), number, seed]
    return np.random.default_rng(entropy).uniform(-1, 1, 8)


def _affine(
    mirror_x: Any, mirror_y: Any, turns: Any, zooms: Any, right: Any, down: Any, centre: float, ops: Any
) -> Any:
    """Map where a pixel is to go to where it comes from, about the image's centre, as Keras takes it.

    Args:
        mirror_x, mirror_y: ``[N]``, -1 where x, or y, is mirrored.
        turns: ``[N]``, radians.
        zooms: ``[N]``, above 1 the image shrinks.
        right, down: ``[N]``, in pixels.

    Returns:
        ``[N, 8]``.
    """
    cos, sin = zooms * ops.cos(turns), zooms * ops.sin(turns)
    a, b = mirror_x * cos, -mirror_x * sin
    c, d = mirror_y * sin, mirror_y * cos
    x, y = -centre - right, -centre - down
    zero = ops.zeros_like(a)
    return ops.stack([a, b, a * x + b * y + centre, c, d, c * x + d * y + centre, zero, zero], axis=1)
