"""Strategy ``frozen``: the backbone's features of each image computed once, a head fitted to them.

A training image may be seen from several sides, mirrored: the features of each are computed once too, so that this
augmentation costs no epoch anything but the rows it adds.
"""

from functools import partial
from pathlib import Path

import keras
import numpy as np

from graft.core.params.strategy_params import FitParams, Flip, FrozenParams
from graft.networks.decode_images import large_array, rows_among
from graft.networks.engines.fastest import keras_engine
from graft.networks.features.frozen_backbone import FrozenBackbone, frozen_backbone
from graft.networks.head import build_head
from graft.training.fit import FitResult, Labelled, fit
from graft.training.head_on_backbone import HeadOnBackbone
from graft.training.solve_head import solve_head
from graft.training.strategies import frozen_members
from graft.training.strategy import Task, Trained

# The axes of ``[N, S, S, 3]`` along which each setting mirrors, the image as it is coming first.
MIRRORS: dict[Flip, list[tuple[int, ...]]] = {
    "none": [()],
    "horizontal": [(), (2,)],
    "vertical": [(), (1,)],
    "horizontal_and_vertical": [(), (2,), (1,), (1, 2)],
}


def train(params: FrozenParams, task: Task) -> Trained:
    """Fit the head to stored features; the backbone is never run twice on an image."""
    if params.members:
        return frozen_members.train(params, task)
    assert params.backbone is not None  # filled in by TrainParams.strategy
    with task.clock.span("backbone"):
        backbone = frozen_backbone(params.backbone, task.image_size, task.cache, task.store, params.head.pooling)
    is_exact = params.solver == "exact"
    head_params = params.head.model_copy(update={"dropout": 0.0}) if is_exact else params.head
    head = build_head(backbone.feature_count, len(task.classes), head_params, task.seed)
    train, val = features(backbone, task, params.flip)
    out_of_fold = None
    if is_exact:
        result, out_of_fold = solve_head(head, train, val, task, params.class_weight, params.folds)
    else:
        result = fit_head(head, train, val, params, task, task.checkpoint)
    return Trained(
        network=HeadOnBackbone(head, head_params, params.backbone, backbone),
        val_logits=keras_engine(head)(val.inputs),
        fit=result,
        weights_source=backbone.weights_source,
        weights_digest=backbone.identity["weights"],
        out_of_fold=out_of_fold,
        features=None
        if params.backbone.no_layers
        else [partial(rows_among, (train.inputs[: len(task.train.labels)], val.inputs))],
    )


def features(backbone: FrozenBackbone, task: Task, flip: Flip = "none") -> tuple[Labelled, Labelled]:
    """Return the backbone's features of the task's images for training and validation, each computed once.

    With ``flip`` the training images count once for each way that it mirrors them, and once as they are.
    """
    label, ways, count = f"{task.name}: features of", MIRRORS[flip], len(task.train.labels)
    with task.clock.span("features"):
        train = large_array((len(ways) * count, backbone.feature_count), np.float32)
        for number, axes in enumerate(ways):
            what = f"{label} train images" + (", mirrored" if axes else "")
            part = train[number * count : (number + 1) * count]
            backbone.features(task.train, what, axes, part)
        val = backbone.features(task.val, f"{label} val images")
    return Labelled(train, np.tile(task.train.labels, len(ways))), Labelled(val, task.val.labels)


def fit_head(
    head: keras.Model, train: Labelled, val: Labelled, params: FitParams, task: Task, checkpoint: Path | None = None
) -> FitResult:
    """Fit a head to features float32 ``[N, D]``; the finished fit is stored in the folder ``checkpoint``."""
    with task.clock.span("head"):
        return fit(
            head,
            train,
            val,
            params,
            classes=len(task.classes),
            seed=task.seed,
            label=f"{task.name}: head",
            checkpoint=checkpoint,
            checkpoint_epochs=False,  # an epoch takes less than to write one
        )
