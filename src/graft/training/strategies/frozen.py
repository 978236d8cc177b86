"""Strategy ``frozen``: the backbone's features of each image computed once, a head trained on them.

A training image may be seen from several sides (:func:`mirror_views`): the features of each view are computed once
too, so that this augmentation costs no epoch anything but the rows it adds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from graft.backbones import build_backbone
from graft.backbones.backbone import Backbone
from graft.params.strategies import FitParams, Flip, FrozenParams
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
        backbone = build_backbone(params.backbone, task.image_size, task.cache, params.head.pooling)
    backbone.trunk.trainable = False
    head = build_head(backbone.feature_count, len(task.classes), params.head, task.seed)
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
    params: FitParams,
    task: Task,
    flip: Flip = "none",
) -> tuple[FitResult, np.ndarray]:
    """Fits a head to the backbone's features of the task's images, each computed once.

    Returns the fit, and the logits of the validation images. With ``flip`` the training images count once for each
    of their :func:`mirror_views`.
    """
    images, val_images = task.train.inputs, task.val.inputs  # decoded now if they were not yet
    with task.clock.span("features"):
        views = mirror_views(images, flip)
        label = f"{task.name}: features of train images"
        train = [
            extract_features(backbone, view, label if index == 0 else f"{label}, mirrored")
            for index, view in enumerate(views)
        ]
        val = extract_features(backbone, val_images, f"{task.name}: features of val images")
    with task.clock.span("head"):
        result = fit(
            head,
            Labelled(np.concatenate(train), np.tile(task.train.labels, len(views))),
            Labelled(val, task.val.labels),
            params,
            classes=len(task.classes),
            seed=task.seed,
            label=f"{task.name}: head",
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
    with progress_bar(label, len(images)) as advance:
        features = backbone.model.predict(
            ImageBatches(images, FEATURE_BATCH), verbose=0, callbacks=[_Advance(advance)]
        )
    return np.asarray(features, np.float32)


class ImageBatches(keras.utils.PyDataset):
    """Slices of an array, in order."""

    def __init__(self, images: np.ndarray, batch_size: int) -> None:
        super().__init__()
        self.images, self.batch_size = images, batch_size

    def __len__(self) -> int:
        return -(-len(self.images) // self.batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray]:
        return (np.ascontiguousarray(self.images[index * self.batch_size : (index + 1) * self.batch_size]),)


class _Advance(keras.callbacks.Callback):
    """Moves a progress bar on, batch by batch."""

    def __init__(self, advance: Callable[[int], None]) -> None:
        super().__init__()
        self.advance = advance

    def on_predict_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self.advance(len((logs or {})["outputs"]))
