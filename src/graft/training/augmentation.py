"""Random changes to training images, as Keras layers that run inside the training model."""

from __future__ import annotations

import keras

from graft.params.models import AugmentParams


def augmentation_layers(params: AugmentParams, seed: int) -> list[keras.layers.Layer]:
    """Layers for images float32 ``[N, S, S, 3]`` in 0..255, active in training only; empty for no change.

    Geometry comes before colour, so that what is filled in at the edges changes colour with the rest.
    """
    layers = keras.layers
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
    return chain
