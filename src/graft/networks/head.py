"""The new head on a backbone: pooling, hidden layers, and one dense layer to the logits."""

from typing import Any

import keras

from graft.core.params.strategy_params import HeadParams, Pooling


def pool(features: Any, pooling: Pooling) -> Any:
    """Pool a backbone's map ``[N, H, W, D]`` to vectors ``[N, D]``, or ``[N, H * W * D]`` for ``flatten``.

    Vectors stay as they are: the backbone has pooled already.
    """
    if len(features.shape) == 2:
        return features
    layer = {
        "average": keras.layers.GlobalAveragePooling2D,
        "max": keras.layers.GlobalMaxPooling2D,
        "flatten": keras.layers.Flatten,
    }[pooling]
    return layer(name="pool")(features)


def build_head(features: int, classes: int, params: HeadParams, seed: int) -> keras.Model:
    """Build the head: features float32 ``[N, D]``, as :func:`pool` gives them, to logits float32 ``[N, C]``."""
    layers = keras.layers
    penalty = keras.regularizers.L1L2(params.l1, params.l2) if params.l1 or params.l2 else None

    def dense(units: int, offset: int, **options: Any) -> keras.layers.Layer:
        start = keras.initializers.GlorotUniform(seed=seed + offset)
        return layers.Dense(units, kernel_initializer=start, kernel_regularizer=penalty, **options)

    inputs = keras.Input((features,), name="features")
    x = inputs
    for index, units in enumerate(params.hidden):
        x = dense(units, 1 + index, activation="relu")(x)
        if params.batch_norm:
            x = layers.BatchNormalization()(x)
    if params.dropout:
        x = layers.Dropout(params.dropout, seed=seed)(x)
    # float32 also under mixed precision: a softmax over half-precision logits loses digits that log loss shows.
    return keras.Model(inputs, dense(classes, 0, dtype="float32", name="logits")(x), name="head")
