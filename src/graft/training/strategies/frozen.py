"""Strategy ``frozen``: the backbone's features of each image computed once, a head trained on them.

A training image may be seen from several sides (:func:`mirror_views`): the features of each view are computed once
too, so that this augmentation costs no epoch anything but the rows it adds.
"""

from __future__ import annotations

import keras
import numpy as np

from graft.backbones import build_backbone
from graft.params.strategies import FitParams, Flip, FrozenParams
from graft.training.activations import activations
from graft.training.fit import FitResult, Labelled, fit
from graft.training.head import build_head
from graft.training.strategy import Task, Trained, classifier


def train(params: FrozenParams, task: Task) -> Trained:
    """Trains the head on stored features; the backbone is never run twice on an image."""
    assert params.backbone is not None  # filled in by TrainParams.strategy
    with task.clock.span("backbone"):
        backbone = build_backbone(params.backbone, task.image_size, task.cache, params.head.pooling)
    backbone.trunk.trainable = False
    head = build_head(backbone.feature_count, len(task.classes), params.head, task.seed)
    train, val = features(backbone.model, task, params.flip)
    result = fit_head(head, train, val, params, task)
    return Trained(
        model=classifier(backbone.model, head),
        val_logits=head.predict(val.inputs, verbose=0),
        fit=result,
        weights_source=backbone.weights_source,
        weights_digest=backbone.weights_digest,
    )


def features(model: keras.Model, task: Task, flip: Flip = "none") -> tuple[Labelled, Labelled]:
    """What ``model`` makes of the task's images for training and validation, each computed once.

    With ``flip`` the training images count once for each of their :func:`mirror_views`.
    """
    images, val_images = task.train.inputs, task.val.inputs  # decoded now if they were not yet
    with task.clock.span("features"):
        views = mirror_views(images, flip)
        label = f"{task.name}: features of train images"
        train = [
            activations(model, view, label if index == 0 else f"{label}, mirrored")
            for index, view in enumerate(views)
        ]
        val = activations(model, val_images, f"{task.name}: features of val images")
    return (
        Labelled(np.concatenate(train), np.tile(task.train.labels, len(views))),
        Labelled(val, task.val.labels),
    )


def fit_head(head: keras.Model, train: Labelled, val: Labelled, params: FitParams, task: Task) -> FitResult:
    """Fits a head to features float32 ``[N, D]``."""
    with task.clock.span("head"):
        return fit(
            head,
            train,
            val,
            params,
            classes=len(task.classes),
            seed=task.seed,
            label=f"{task.name}: head",
        )


def mirror_views(images: np.ndarray, flip: Flip) -> list[np.ndarray]:
    """The images ``[N, S, S, 3]`` as they are, then mirrored in each way ``flip`` allows; views, not copies."""
    views = [images]
    if flip in ("horizontal", "horizontal_and_vertical"):
        views += [view[:, :, ::-1] for view in views]
    if flip in ("vertical", "horizontal_and_vertical"):
        views += [view[:, ::-1] for view in views]
    return views
