"""A small convolutional network: the honest baseline that transfer has to beat."""

from __future__ import annotations

from typing import Any

import keras

from graft.core.errors import GraftError
from graft.core.params.strategy_params import ScratchParams


def build(images: Any, params: ScratchParams, seed: int) -> Any:
    """Blocks of 3x3 convolution, batch norm and relu, each ended by 2x2 pooling, to ``[N, S/2^B, S/2^B, F]``.

    Raises:
        GraftError: the images are too small to be halved once per block.
    """
    layers = keras.layers
    side = images.shape[1]
    if side < 2 ** len(params.filters):
        raise GraftError(
            f"Images of {side} pixels cannot be halved {len(params.filters)} times (filters {params.filters})",
            "Name fewer filters, or raise image_size",
        )
    decay = keras.regularizers.L2(params.l2) if params.l2 else None
    x = images
    for block, filters in enumerate(params.filters):
        for index in range(params.convolutions):
            start = keras.initializers.HeNormal(seed=seed + block * params.convolutions + index)
            # Per image: Keras divides an activity penalty by the batch.
            activity = keras.regularizers.L1(params.activity_l1) if params.activity_l1 else None
            convolution = layers.Conv2D(
                filters,
                3,
                padding="same",
                use_bias=False,
                kernel_regularizer=decay,
                activity_regularizer=activity,
                kernel_initializer=start,
            )
            x = layers.ReLU()(layers.BatchNormalization()(convolution(x)))
        x = layers.MaxPooling2D()(x)
    return x
