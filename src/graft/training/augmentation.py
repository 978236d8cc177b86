"""Random changes to training images, as Keras layers that run inside the training model."""

import functools
from typing import Any

import keras

from graft.core.params.strategy_params import AugmentParams
from graft.training.views import changed_places, moves_pixels


class _Float32Layers:
    """``keras.layers`` in float32, also under mixed precision: half precision has steps of a grey level at 255."""

    def __getattr__(self, name: str) -> Any:
        return functools.partial(getattr(keras.layers, name), dtype="float32")


class _RandomAffine(keras.layers.Layer):
    """Mirror, turn, zoom and move each image by one map, so that pixels are interpolated once.

    Keras' layers of these names interpolate one after the other, which blurs more and takes four times as long.
    """

    def __init__(self, params: AugmentParams, seed: int, **options: Any) -> None:
        super().__init__(**options)
        self.params = params
        self.generator = keras.random.SeedGenerator(seed)

    def call(self, images: Any, training: bool = False) -> Any:
        """Return images float32 ``[N, S, S, 3]``, changed in training alone."""
        if not training:
            return images
        shape = (keras.ops.shape(images)[0], 6)
        draws = keras.random.uniform(shape, -1.0, 1.0, dtype="float32", seed=self.generator)
        return changed_places(images, draws, self.params, keras.ops)


def augmentation_layers(params: AugmentParams, seed: int) -> list[keras.layers.Layer]:
    """Return layers for images float32 ``[N, S, S, 3]`` in 0..255, active in training only; empty for no change.

    Geometry comes before colour, so that what is filled in at the edges changes colour with the rest. MixUp and
    CutMix need labels, and are :mod:`graft.training.mixing`'s.
    """
    layers = _Float32Layers()
    chain: list[keras.layers.Layer] = []
    if moves_pixels(params):
        chain.append(_RandomAffine(params, seed, name="random_affine", dtype="float32"))
    if params.contrast:
        chain.append(layers.RandomContrast(params.contrast, value_range=(0, 255), seed=seed + 4))
    if params.brightness:
        chain.append(layers.RandomBrightness(params.brightness, value_range=(0, 255), seed=seed + 5))
    if params.rand_augment:
        # Two changes, as in the paper: https://arxiv.org/abs/1909.13719
        chain.append(layers.RandAugment((0, 255), num_ops=2, factor=params.rand_augment, seed=seed + 6))
    return chain
