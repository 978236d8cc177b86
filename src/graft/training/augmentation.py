"""Random changes to training images, as Keras layers that run inside the training model."""

from __future__ import annotations

import functools
from typing import Any

import keras

from graft.core.params.strategy_params import AugmentParams


class _Float32Layers:
    """``keras.layers`` in float32, also under mixed precision: half precision has steps of a grey level at 255."""

    def __getattr__(self, name: str) -> Any:
        return functools.partial(getattr(keras.layers, name), dtype="float32")


def augmentation_layers(params: AugmentParams, seed: int) -> list[keras.layers.Layer]:
    """Layers for images float32 ``[N, S, S, 3]`` in 0..255, active in training only; empty for no change.

    Geometry comes before colour, so that what is filled in at the edges changes colour with the rest. MixUp and
    CutMix need labels, and are :mod:`graft.training.mixing`'s.
    """
    layers = _Float32Layers()
    chain: list[keras.layers.Layer] = []
    if params.flip != "none":
        chain.append(layers.RandomFlip(params.flip, seed=seed))
    if params.rotate:
        chain.append(layers.RandomRotation(params.rotate, fill_mode="nearest", seed=seed + 1))
    if params.zoom:
        chain.append(layers.RandomZoom(params.zoom, fill_mode="nearest", seed=seed + 2))
    if params.translate:
        shift = params.translate
        chain.append(layers.RandomTranslation(shift, shift, fill_mode="nearest", seed=seed + 3))
    if params.contrast:
        chain.append(layers.RandomContrast(params.contrast, value_range=(0, 255), seed=seed + 4))
    if params.brightness:
        chain.append(layers.RandomBrightness(params.brightness, value_range=(0, 255), seed=seed + 5))
    if params.rand_augment:
        # Two changes, as in the paper: https://arxiv.org/abs/1909.13719
        chain.append(layers.RandAugment((0, 255), num_ops=2, factor=params.rand_augment, seed=seed + 6))
    return chain
