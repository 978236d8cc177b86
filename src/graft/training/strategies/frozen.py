"""Strategy ``frozen``: the backbone's features of each image computed once, a head trained on them."""

from __future__ import annotations

import keras
import numpy as np

from graft.backbones import build_backbone
from graft.backbones.backbone import Backbone
from graft.params.models import FrozenParams
from graft.progress import progress_bar
from graft.training.fit import Labelled, fit
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
    with task.clock.span("features"):
        train_features = extract_features(
            backbone, task.train.inputs, f"{task.name}: features of training images"
        )
        val_features = extract_features(
            backbone, task.val.inputs, f"{task.name}: features of validation images"
        )
    head = build_head(backbone.feature_count, len(task.classes), params.dropout, task.seed)
    with task.clock.span("fit"):
        result = fit(
            head,
            Labelled(train_features, task.train.labels),
            Labelled(val_features, task.val.labels),
            params,
            classes=len(task.classes),
            seed=task.seed,
            label=f"{task.name}: head",
        )
    return Trained(
        model=classifier(backbone.model, head),
        val_logits=head.predict(val_features, verbose=0),
        fit=result,
        weights_source=backbone.weights_source,
        weights_digest=backbone.weights_digest,
    )


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
