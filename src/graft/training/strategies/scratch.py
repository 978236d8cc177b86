"""Strategy ``scratch``: a network from random weights, which transfer has to beat."""

from collections.abc import Callable
from typing import Any

import keras

from graft.core.errors import GraftError
from graft.core.params.strategy_params import ScratchParams
from graft.networks.backbones.backbone import weights_digest
from graft.networks.head import build_head, pool
from graft.training.strategy import Task, Trained, fit_end_to_end


def train(params: ScratchParams, task: Task) -> Trained:
    """Train the network end to end; a killed training carries on from its last whole epoch."""
    model = build_network(params, task.image_size, len(task.classes), task.seed)
    digest = weights_digest(model.weights)
    result, val_logits = fit_end_to_end(model, params, task)
    return Trained(model, val_logits, result, weights_source="random", weights_digest=digest)


def build_network(params: ScratchParams, image_size: int, classes: int, seed: int) -> keras.Model:
    """Build the network that ``params`` names, with its head: images float32 ``[N, S, S, 3]``, 0..255, to logits ``[N,
    C]``.

    Raises:
        GraftError: the network cannot be built for images of that size, or with that head.
    """
    inputs = keras.Input((image_size, image_size, 3), dtype="float32", name="image")
    scaled = keras.layers.Rescaling(1 / 127.5, offset=-1, dtype="float32", name="input_scaling")(inputs)
    features = pool(NETWORKS[params.network](scaled, params, seed), params.head.pooling)
    head = build_head(int(features.shape[-1]), classes, params.head, seed)
    return keras.Model(inputs, head(features), name="scratch")


def _cnn(images: Any, params: ScratchParams, seed: int) -> Any:
    """Return blocks of 3x3 convolution, batch norm and relu, each ended by 2x2 pooling: ``[N, S/2^B, S/2^B, F]``.

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


def _mlp(images: Any, params: ScratchParams, seed: int) -> Any:
    """Return the images as they are, for a head whose hidden layers are the network.

    Raises:
        GraftError: the head pools: three means of colour are all that would be left of an image.
    """
    if params.head.pooling != "flatten":
        raise GraftError(
            f"The mlp works on flattened pixels, and head.pooling is '{params.head.pooling}'",
            "Set head: {pooling: flatten, hidden: [512, 512]} in params.yaml",
        )
    return images


# By ``network`` in params.yaml: from scaled images, a Keras tensor [N, S, S, 3] in -1..1, to what the head is given.
NETWORKS: dict[str, Callable[[Any, ScratchParams, int], Any]] = {"cnn": _cnn, "mlp": _mlp}
