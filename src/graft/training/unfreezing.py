"""Choose which layers of a backbone training may change."""

import keras

from graft.core.errors import GraftError, did_you_mean
from graft.core.params.backbone_params import TRAIN_IT_WHOLE
from graft.networks.backbones.backbone import LayerlessNetwork


def unfreeze(network: keras.layers.Layer, start: str | int | float, batch_norm: str) -> None:
    """Make the backbone trainable from a layer up.

    Args:
        network: a ``keras.applications`` model, or a backbone without layers, which is trained whole.
        start: ``all``, the name of the first layer to train, how many of the last layers (int), or which share of
            them (float, 0 to 1).
        batch_norm: with ``inference`` batch-norm layers stay frozen, statistics and scales: small batches of
            other images would wreck them (keras issue 9214).

    Raises:
        GraftError: there is no such layer, there are not that many, or a part of a backbone without layers was named.
    """
    if isinstance(network, LayerlessNetwork):
        if start != "all":
            raise GraftError(f"unfreeze is {start!r}, but {network.name} has no layers to start from", TRAIN_IT_WHOLE)
        network.unfreeze(batch_norm_updates=batch_norm == "update")
        return
    first = first_trained_layer(network, start)
    network.trainable = True
    for index, layer in enumerate(network.layers):
        for part in layer._flatten_layers():  # itself, and what it holds: a layer of Keras Hub may be a whole block
            is_held = isinstance(part, keras.layers.BatchNormalization) and batch_norm == "inference"
            part.trainable = index >= first and not is_held


def first_trained_layer(network: keras.Model, start: str | int | float) -> int:
    """Return the index in ``network.layers`` of the first layer to train; the rest as of :func:`unfreeze`."""
    names = [layer.name for layer in network.layers]
    if start == "all":
        return 0
    if isinstance(start, str):
        if start not in names:
            raise GraftError(f"{network.name} has no layer '{start}' to unfreeze from", did_you_mean(start, names))
        return names.index(start)
    # As Keras counts: with activations and poolings, the idiom being `for layer in backbone.layers[:-5]`.
    count = start if isinstance(start, int) else round(start * len(names))
    if not 1 <= count <= len(names):
        raise GraftError(
            f"unfreeze is {start}, and {network.name} has {len(names)} layers",
            f"It should be a count from 1 to {len(names)}, a fraction of at least one layer, or all",
        )
    return len(names) - count
