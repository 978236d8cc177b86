"""The new head on a pretrained trunk."""

from __future__ import annotations

import keras


def build_head(features: int, classes: int, dropout: float, seed: int) -> keras.Model:
    """Features float32 ``[N, D]`` to logits float32 ``[N, C]``: dropout and one dense layer."""
    inputs = keras.Input((features,), name="features")
    x = keras.layers.Dropout(dropout, seed=seed)(inputs) if dropout else inputs
    start = keras.initializers.GlorotUniform(seed=seed)
    # float32 also under mixed precision: a softmax over half-precision logits loses digits that log loss shows.
    logits = keras.layers.Dense(classes, kernel_initializer=start, dtype="float32", name="logits")(x)
    return keras.Model(inputs, logits, name="head")
