"""Strategy ``scratch``: a network from random weights, which transfer has to beat."""

from __future__ import annotations

import importlib

import keras

from graft.core.params.strategy_params import ScratchParams
from graft.networks.backbones.backbone import weights_digest
from graft.networks.head import build_head, pool
from graft.training.strategy import Task, Trained, fit_end_to_end


def train(params: ScratchParams, task: Task) -> Trained:
    """Trains the network end to end; a killed training carries on from its last whole epoch."""
    model = build_network(params, task.image_size, len(task.classes), task.seed)
    digest = weights_digest(model.weights)
    result, val_logits = fit_end_to_end(model, params, task)
    return Trained(model, val_logits, result, weights_source="random", weights_digest=digest)


def build_network(params: ScratchParams, image_size: int, classes: int, seed: int) -> keras.Model:
    """The network that ``params`` names under its head: images float32 ``[N, S, S, 3]``, 0..255, to logits ``[N, C]``.

    Raises:
        GraftError: the network cannot be built for images of that size, or with that head.
    """
    network = importlib.import_module(f"graft.networks.scratch.{params.network}")
    inputs = keras.Input((image_size, image_size, 3), dtype="float32", name="image")
    scaled = keras.layers.Rescaling(1 / 127.5, offset=-1, dtype="float32", name="input_scaling")(inputs)
    features = pool(network.build(scaled, params, seed), params.head.pooling)
    head = build_head(int(features.shape[-1]), classes, params.head, seed)
    return keras.Model(inputs, head(features), name="scratch")
