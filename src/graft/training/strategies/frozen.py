"""Strategy ``frozen``: the backbone's features of each image computed once, a head trained on them."""

from __future__ import annotations

import keras
import numpy as np

from graft.backbones import build_backbone
from graft.backbones.backbone import Backbone
from graft.params.models import FrozenParams, TransferParams
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
    result, val_logits = fit_head(head, backbone, params, task)
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
) -> tuple[FitResult, np.ndarray]:
    """Fits a head to the backbone's features of the task's images, each computed once.

    Returns the fit, and the logits of the validation images. ``epochs`` and ``learning_rate`` replace those in
    ``params``.
    """
    with task.clock.span("features"):
        features = {
            split: extract_features(backbone, images.inputs, f"{task.name}: features of {split} images")
            for split, images in (("train", task.train), ("val", task.val))
        }
    with task.clock.span("head"):
        result = fit(
            head,
            Labelled(features["train"], task.train.labels),
            Labelled(features["val"], task.val.labels),
            params,
            classes=len(task.classes),
            seed=task.seed,
            label=f"{task.name}: head",
            epochs=epochs,
            learning_rate=learning_rate,
        )
        return result, head.predict(features["val"], verbose=0)


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
