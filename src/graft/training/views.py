"""Views: changed copies of an image that are a function of its hash, a number and the seed, and of nothing else.

The random layers of :mod:`graft.training.augmentation` draw anew in every epoch, so that a trunk has to be run on
every image in every epoch. A view is drawn once for an image, whichever batch, order or run it stands in, so that
what the trunk makes of it can be kept.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from graft.core.params.strategy_params import AugmentParams
from graft.core.source_digest import source_digest


@functools.cache
def views_identity() -> str:
    """Names the code of this file: other code, other views."""
    return source_digest(Path(__file__))


def view(images: np.ndarray, keys: Sequence[bytes], number: int, params: AugmentParams, seed: int) -> np.ndarray:
    """One view of each image, float32 ``[N, S, S, 3]`` in 0..255.

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
    mirrored, turn, zoom, right, down, contrast, brightness = np.split(draws, [2, 3, 4, 5, 6, 7], axis=1)
    size = images.shape[1]
    pixels: np.ndarray = images.astype(np.float32)
    if params.flip != "none" or params.rotate or params.zoom or params.translate:
        may_flip = np.array(
            [
                params.flip in ("horizontal", "horizontal_and_vertical"),
                params.flip in ("vertical", "horizontal_and_vertical"),
            ]
        )
        pixels = keras.ops.convert_to_numpy(
            keras.ops.image.affine_transform(
                pixels,
                _affine(
                    np.where((mirrored > 0) & may_flip, -1.0, 1.0),
                    2 * np.pi * params.rotate * turn[:, 0],
                    1 + params.zoom * zoom[:, 0],
                    params.translate * size * np.concatenate([right, down], axis=1),
                    size,
                ),
                interpolation="bilinear",
                fill_mode="nearest",
            )
        )
    if params.contrast:
        mean = pixels.mean(axis=(1, 2), keepdims=True)
        pixels = mean + (pixels - mean) * (1 + params.contrast * contrast[:, :, None, None])
    if params.brightness:
        pixels = pixels + 255 * params.brightness * brightness[:, :, None, None]
    return np.clip(pixels, 0, 255, dtype=np.float32)


def _draw(key: bytes, number: int, seed: int) -> np.ndarray:
    """Eight numbers in -1..1."""
    entropy = [int.from_bytes(key, "little"), number, seed]
    return np.random.default_rng(entropy).uniform(-1, 1, 8)


def _affine(mirrors: np.ndarray, turns: np.ndarray, zooms: np.ndarray, shifts: np.ndarray, size: int) -> np.ndarray:
    """Maps from where a pixel is to go to where it comes from, about the image's centre, as Keras takes them.

    Args:
        mirrors: ``[N, 2]``, -1 where x, or y, is mirrored.
        turns: ``[N]``, radians.
        zooms: ``[N]``, above 1 the image shrinks.
        shifts: ``[N, 2]``, in pixels, to the right and down.

    Returns:
        float32 ``[N, 8]``.
    """
    cos, sin = zooms * np.cos(turns), zooms * np.sin(turns)
    a, b = mirrors[:, 0] * cos, -mirrors[:, 0] * sin
    c, d = mirrors[:, 1] * sin, mirrors[:, 1] * cos
    centre = (size - 1) / 2
    x, y = -centre - shifts[:, 0], -centre - shifts[:, 1]
    zero = np.zeros_like(a)
    rows = [a, b, a * x + b * y + centre, c, d, c * x + d * y + centre, zero, zero]
    return np.stack(rows, axis=1).astype(np.float32)
