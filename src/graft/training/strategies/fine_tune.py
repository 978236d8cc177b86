"""Strategy ``fine_tune``: the head first, then the backbone too, from a named layer up or whole."""

from __future__ import annotations

import keras

from graft.backbones import build_backbone
from graft.backbones.hub import HubModule
from graft.errors import GraftError, did_you_mean
from graft.params.models import FineTuneParams
from graft.training.checkpoint import read_checkpoint
from graft.training.head import build_head
from graft.training.strategies.frozen import fit_head
from graft.training.strategy import Task, Trained, classifier, fit_end_to_end


def train(params: FineTuneParams, task: Task) -> Trained:
    """Two phases: a head on the frozen backbone's features, then both end to end at a low rate.

    A killed training carries on from its last whole epoch of the second phase.
    """
    assert params.backbone is not None  # filled in by TrainParams.strategy
    with task.clock.span("backbone"):
        backbone = build_backbone(params.backbone, task.image_size, task.cache)
    # A module that cannot be unfrozen as asked is refused before any time goes into the head.
    unfreeze(backbone.trunk, params.unfreeze_from, params.batch_norm)

    head = build_head(backbone.feature_count, len(task.classes), params.dropout, task.seed)
    if params.warm_up_epochs and read_checkpoint(task.checkpoint) is None:
        fit_head(head, backbone, params, task, params.warm_up_epochs, params.warm_up_learning_rate)
    model = classifier(backbone.model, head)
    result, val_logits = fit_end_to_end(model, params, task)
    return Trained(
        model=model,
        val_logits=val_logits,
        fit=result,
        weights_source=backbone.weights_source,
        weights_digest=backbone.weights_digest,
    )


def unfreeze(trunk: keras.layers.Layer, start: str, batch_norm: str) -> None:
    """Makes the trunk trainable from the layer named ``start`` up, or whole for ``all``.

    Args:
        trunk: a ``keras.applications`` model or a Hub module.
        start: name of the first layer to train, or ``all``.
        batch_norm: with ``inference`` batch-norm layers stay frozen, statistics and scales: small batches of
            other images would wreck them (keras issue 9214).

    Raises:
        GraftError: there is no such layer, or the trunk is a Hub module and only a part of it was named.
    """
    if isinstance(trunk, HubModule):
        if start != "all":
            raise GraftError(
                f"unfreeze_from is '{start}', but a Hub module is a SavedModel, which has no layers to start from",
                "Set unfreeze_from: all, or use the same network as a keras backbone",
            )
        trunk.unfreeze(batch_norm_updates=batch_norm == "update")
        return
    names = [layer.name for layer in trunk.layers]
    if start != "all" and start not in names:
        raise GraftError(f"{trunk.name} has no layer '{start}' to unfreeze from", did_you_mean(start, names))
    first = 0 if start == "all" else names.index(start)
    trunk.trainable = True
    for index, layer in enumerate(trunk.layers):
        is_batch_norm = isinstance(layer, keras.layers.BatchNormalization)
        layer.trainable = index >= first and not (is_batch_norm and batch_norm == "inference")
