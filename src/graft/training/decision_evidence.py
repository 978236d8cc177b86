"""Collect what decisions follow from: answers for images that a model was not fitted to, and how far these are.

Distances of frozen features are out of fold, like a head's logits. A network that was trained whole has drawn its
training images together, so that only images of validation say how far a new one is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np

from graft.bundle.decisions import Known, distances, enough, unit
from graft.networks.backbones.backbone import LayerlessNetwork
from graft.networks.features.extract import predict_each
from graft.networks.grouped_folds import grouped_folds
from graft.training.blend import Blend
from graft.training.strategy import RowsAt, Task, Trained

# Training images that distances are measured to: 5 MB of 1,280 features; docs/unknown.md was measured with 640.
MOST = 2000
# Numbers an image from which on what a head is given are pixels or maps, not features.
MOST_FEATURES = 4096
FOLDS = 5


@dataclass(frozen=True)
class DecisionEvidence:
    """The evidence that decisions follow from.

    Attributes:
        known: see :class:`graft.bundle.decisions.Known`; None for a member of a blend, which has its own.
        features: of each network, those of some training images ``[R, D]``; None where it has none.
    """

    known: Known | None
    features: Sequence[np.ndarray | None]


def features_model(model: keras.Model) -> keras.Model | None:
    """Return the part of a classifier, images to logits, that gives its head's input ``[N, D]``; None without one."""
    head, node, _ = model.output._keras_history
    if head.name != "head" or any(isinstance(layer, LayerlessNetwork) for layer in model._flatten_layers()):
        return None
    features = head._inbound_nodes[node].input_tensors[0]
    if len(features.shape) != 2 or features.shape[1] > MOST_FEATURES:
        return None
    return keras.Model(model.input, features, name="features")


def collect(trained: Trained, task: Task, labels: np.ndarray, probabilities: np.ndarray) -> DecisionEvidence:
    """Return the evidence of a strategy that was trained.

    Args:
        labels, probabilities: of the images that were validated, ``[M]`` and ``[M, C]``.
    """
    count, some = len(task.train.labels), enough(len(labels))
    asked = some if task.folds else some + count  # among the images of train and then val
    far = np.full(len(asked), np.nan)
    features: list[np.ndarray | None]
    if trained.features is not None:
        blend = trained.network.members if isinstance(trained.network, Blend) else []
        weights = [one.weight for one in blend] or [1.0]
        near = _some(count + len(task.val.labels), task.seed)
        folds = _folds(task)
        parts = zip(weights, trained.features, strict=True)
        far = np.sum([weight * _held_out(rows_at, asked, near, folds) for weight, rows_at in parts], axis=0)
        far /= sum(weights)
        features = [rows_at(near) for rows_at in trained.features]
    elif isinstance(trained.network, keras.Model) and (model := features_model(trained.network)) is not None:
        label, train = f"{task.name}: features of", task.train.inputs[_some(count, task.seed)]
        images = {f"{label} train images": train, f"{label} val images": task.val.inputs}
        rows, others = predict_each(model, images)
        is_val = asked >= count
        far[is_val] = distances(others[asked[is_val] - count], unit(rows))
        features = [rows]
    else:
        features = [None]
    return DecisionEvidence(Known(labels[some], probabilities[some], far), features)


def _some(count: int, seed: int) -> np.ndarray:
    """Return places of at most :data:`MOST` of so many, rising."""
    return np.sort(np.random.default_rng(seed).permutation(count)[:MOST])


def _folds(task: Task) -> np.ndarray:
    """Return the fold of each image of train and then val, which keep groups together; -1 where there is one group."""
    labels = np.concatenate([task.train.labels, task.val.labels])
    groups = np.arange(len(labels))
    if task.groups is not None and task.val_groups is not None:
        groups = np.concatenate([task.groups, task.val_groups])
    if len(np.unique(groups)) < 2:
        return np.full(len(labels), -1)
    return grouped_folds(labels, groups, FOLDS, task.seed)


def _held_out(rows_at: RowsAt, asked: np.ndarray, near: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Return how far each image of ``asked`` is from those of ``near`` that are in other folds, float ``[A]``."""
    far = np.full(len(asked), np.nan)
    for fold in range(folds.max() + 1):
        rest, here = near[folds[near] != fold], folds[asked] == fold
        if len(rest):
            far[here] = distances(rows_at(asked[here]), unit(rows_at(rest)))
    return far
