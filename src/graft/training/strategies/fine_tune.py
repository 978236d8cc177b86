"""Strategy ``fine_tune``: the head first, then the backbone too, in part or whole."""

from __future__ import annotations

from graft.backbones import build_backbone
from graft.params.strategies import FineTuneParams
from graft.training.checkpoint import read_checkpoint
from graft.training.head import build_head
from graft.training.optimizers import layer_rate_factors
from graft.training.strategies.frozen import fit_head
from graft.training.strategy import Task, Trained, classifier, fit_end_to_end
from graft.training.unfreezing import unfreeze


def train(params: FineTuneParams, task: Task) -> Trained:
    """Two phases: a head on the frozen backbone's features, then both end to end at a low rate.

    A killed training carries on from its last whole epoch of the second phase.
    """
    assert params.backbone is not None  # filled in by TrainParams.strategy
    with task.clock.span("backbone"):
        backbone = build_backbone(params.backbone, task.image_size, task.cache, params.head.pooling)
    # A layer that is not there is refused before any time goes into the head.
    unfreeze(backbone.trunk, params.unfreeze, params.batch_norm)

    head = build_head(backbone.feature_count, len(task.classes), params.head, task.seed)
    if params.head_epochs and read_checkpoint(task.checkpoint) is None:
        fit_head(head, backbone, head_phase(params), task)
    model = classifier(backbone.model, head)
    factors = layer_rate_factors(backbone.trunk, params.layer_decay) if params.layer_decay < 1 else None
    result, val_logits = fit_end_to_end(model, params, task, factors)
    return Trained(
        model=model,
        val_logits=val_logits,
        fit=result,
        weights_source=backbone.weights_source,
        weights_digest=backbone.weights_digest,
    )


def head_phase(params: FineTuneParams) -> FineTuneParams:
    """The settings of the first phase: its own epochs and rate, and nothing that is meant for a trunk."""
    return params.model_copy(
        update={
            "epochs": params.head_epochs,
            "learning_rate": params.head_learning_rate,
            "schedule": "constant",
            "warm_up_epochs": 0,
            "ema_momentum": 0.0,
        }
    )
