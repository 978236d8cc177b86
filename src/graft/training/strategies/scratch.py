"""Strategy ``scratch``: a small CNN from random weights, the honest baseline that transfer has to beat."""

from __future__ import annotations

import keras

from graft.backbones.backbone import weights_digest
from graft.errors import GraftError
from graft.params.models import ScratchParams
from graft.training.strategy import Task, Trained, fit_end_to_end


def train(params: ScratchParams, task: Task) -> Trained:
    """Trains the CNN end to end; a killed training carries on from its last whole epoch."""
    model = build_cnn(params, task.image_size, len(task.classes), task.seed)
    digest = weights_digest(model.weights)
    result, val_logits = fit_end_to_end(model, params, task)
    return Trained(model, val_logits, result, weights_source="random", weights_digest=digest)


def build_cnn(params: ScratchParams, image_size: int, classes: int, seed: int) -> keras.Model:
    """Blocks of 3x3 convolution, batch norm, relu and 2x2 pooling, then global average pooling.

    Images float32 ``[N, S, S, 3]`` in 0..255 to logits ``[N, C]``.

    Raises:
        GraftError: the images are too small to be halved once per block.
    """
    if image_size < 2 ** len(params.filters):
        raise GraftError(
            f"Images of {image_size} pixels cannot be halved {len(params.filters)} times (filters {params.filters})",
            "Name fewer filters, or raise image_size",
        )
    layers = keras.layers
    inputs = keras.Input((image_size, image_size, 3), dtype="float32", name="image")
    x = layers.Rescaling(1 / 127.5, offset=-1, name="input_scaling")(inputs)
    decay = keras.regularizers.L2(params.weight_decay) if params.weight_decay else None
    for index, filters in enumerate(params.filters):
        start = keras.initializers.HeNormal(seed=seed + index)
        convolution = layers.Conv2D(
            filters, 3, padding="same", use_bias=False, kernel_regularizer=decay, kernel_initializer=start
        )
        x = layers.MaxPooling2D()(layers.ReLU()(layers.BatchNormalization()(convolution(x))))
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dropout(params.dropout, seed=seed)(x)
    start = keras.initializers.GlorotUniform(seed=seed)
    logits = layers.Dense(classes, kernel_initializer=start, dtype="float32", name="logits")(x)
    return keras.Model(inputs, logits, name="scratch")
