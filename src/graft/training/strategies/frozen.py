"""Strategy ``frozen``: the backbone's features of each image computed once, a head trained on them.

A training image may be seen from several sides (:func:`mirror_views`): the features of each view are computed once
too, so that this augmentation costs no epoch anything but the rows it adds.
"""

from __future__ import annotations

import keras
import numpy as np

from graft.backbones import build_backbone
from graft.backbones.backbone import Backbone
from graft.params.models import Flip, FrozenParams, TransferParams
from graft.progress import progress_bar
from graft.training.fit import FitResult, Labelled, fit
from graft.training.head import build_head
from graft.training.strategy import Task, Trained, classifier

# Images per forward pass of the trunk: past this, speed on a CPU no longer grows and memory does.
FEATURE_BATCH = 32


def train(params: FrozenParams, task: Task) -> Trained:
    """Trains the head on stored features; the backbone is never run twice on an image."""
    assert params.backbone is not None  # filled in by TrainParams.strategy
    with task.clock.span("backbone"):
        backbone = build_backbone(params.backbone, task.image_size, task.cache)
    backbone.trunk.trainable = False
    head = build_head(backbone.feature_count, len(task.classes), params.dropout, task.seed)
    result, val_logits = fit_head(head, backbone, params, task, flip=params.flip)
    return Trained(
        model=classifier(backbone.model, head),
        val_logits=val_logits,
        fit=result,
        weights_source=backbone.weights_source,
        weights_digest=backbone.weights_digest,
    )


def fit_head(
    head: keras.Model,
    backbone: Backbone,
    params: TransferParams,
    task: Task,
    epochs: int | None = None,
    learning_rate: float | None = None,
    flip: Flip = "none",
) -> tuple[FitResult, np.ndarray]:
    """Fits a head to the backbone's features of the task's images, each computed once.

    Returns the fit, and the logits of the validation images. ``epochs`` and ``learning_rate`` replace those in
    ``params``; with ``flip`` the training images count once for each of their :func:`mirror_views`.
    """
    with task.clock.span("features"):
        views = mirror_views(task.train.inputs, flip)
        label = f"{task.name}: features of train images"
        train = [
            extract_features(backbone, view, label if index == 0 else f"{label}, mirrored")
            for index, view in enumerate(views)
        ]
        val = extract_features(backbone, task.val.inputs, f"{task.name}: features of val images")
    with task.clock.span("head"):
        result = fit(
            head,
            Labelled(np.concatenate(train), np.tile(task.train.labels, len(views))),
            Labelled(val, task.val.labels),
            params,
            classes=len(task.classes),
            seed=task.seed,
            label=f"{task.name}: head",
            epochs=epochs,
            learning_rate=learning_rate,
        )
        return result, head.predict(val, verbose=0)


def mirror_views(images: np.ndarray, flip: Flip) -> list[np.ndarray]:
    """The images ``[N, S, S, 3]`` as they are, then mirrored in each way ``flip`` allows; views, not copies."""
    views = [images]
    if flip in ("horizontal", "horizontal_and_vertical"):
        views += [view[:, :, ::-1] for view in views]
    if flip in ("vertical", "horizontal_and_vertical"):
        views += [view[:, ::-1] for view in views]
    return views


def extract_features(backbone: Backbone, images: np.ndarray, label: str) -> np.ndarray:
    """Features float32 ``[N, D]`` of images uint8 ``[N, S, S, 3]``, in inference mode."""
    features = np.empty((len(images), backbone.feature_count), np.float32)
    predict = backbone.model.predict_on_batch
    with progress_bar(label, len(images)) as advance:
        for start in range(0, len(images), FEATURE_BATCH):
            batch = np.asarray(images[start : start + FEATURE_BATCH], dtype=np.float32)
            size = len(batch)
            if size < FEATURE_BATCH:
                # One shape for all batches: another would trace and compile the graph a second time.
                batch = np.concatenate(
                    [batch, np.zeros((FEATURE_BATCH - size, *batch.shape[1:]), np.float32)]
                )
            features[start : start + size] = keras.ops.convert_to_numpy(predict(batch))[:size]
            advance(size)
    return features
