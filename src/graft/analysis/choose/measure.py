"""Measure candidates: an exact head on each one's features, judged on images that it was not fitted to."""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from graft.analysis.choose.plan import Candidate
from graft.core.paired import log_losses
from graft.networks.decode_images import KeyedImages
from graft.networks.exact_head import cross_validate
from graft.networks.features.feature_store import FeatureStore
from graft.networks.features.frozen_backbone import frozen_backbone
from graft.networks.features.mirror_images import view_features
from graft.networks.temperature import fit_temperature, softmax


@dataclass(frozen=True)
class Measured:
    """The figures of one candidate, by cross-validation.

    Attributes:
        candidate: what was measured.
        probabilities: of each image by a head that was fitted without its group, float64 ``[N, C]``.
        losses: minus the logarithm of the right class's probability, in nats, ``[N]``.
        right: whether the most probable class is the right one, bool ``[N]``.
        penalty: the head's, in the units of :func:`graft.networks.exact_head.cross_validate`.
        seconds: of computing features and fitting heads.
    """

    candidate: Candidate
    probabilities: np.ndarray
    losses: np.ndarray
    right: np.ndarray
    penalty: float
    seconds: float

    @property
    def log_loss(self) -> float:
        return float(self.losses.mean())

    @property
    def accuracy(self) -> float:
        return float(self.right.mean())


def measure(
    candidate: Candidate,
    images: KeyedImages,
    labels: np.ndarray,
    classes: int,
    groups: np.ndarray,
    folds: int,
    cache: Path,
    store: FeatureStore | None,
) -> list[Measured]:
    """Return what exact heads on the candidate's features come to: on those of the top, and on those of all depths.

    Args:
        candidate: what is measured.
        images: N of them, at the candidate's size.
        labels: class indices ``[N]``.
        classes: C.
        groups: of each image, any values ``[N]``.
        folds: of the cross-validation.
        cache: folder of downloaded weights.
        store: the feature store.

    Raises:
        GraftError: the backbone's weights cannot be had, it cannot take images of that size, or an image is gone.
    """
    start = time.perf_counter()
    backbone = frozen_backbone(candidate.backbone, candidate.image_size, cache, store, "depths")
    features = view_features(backbone, images, candidate.name, candidate.mirrored)
    found = []
    for one, columns in ((candidate, slice(0, backbone.top_count)), (candidate.with_all_depths, slice(None))):
        logits, penalty, _ = cross_validate(features[:, columns], labels, classes, groups=groups, folds=folds)
        probabilities = calibrated(logits, labels, groups)
        seconds, start = time.perf_counter() - start, time.perf_counter()
        found.append(judged(one, probabilities, labels, penalty, seconds))
    return found


def judged(
    candidate: Candidate, probabilities: np.ndarray, labels: np.ndarray, penalty: float, seconds: float
) -> Measured:
    """Return the figures of a candidate from its probabilities out of fold, ``[N, C]``."""
    right = probabilities.argmax(axis=1) == labels
    return Measured(candidate, probabilities, log_losses(probabilities, labels), right, penalty, seconds)


def calibrated(logits: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return probabilities float64 ``[N, C]`` of logits, at the one temperature that suits the labels best.

    It is one number from all images: what it takes from an image's own label is negligible beside the standard errors
    that decide.

    Args:
        logits: ``[N, C]``.
        labels: class indices ``[N]``.
        groups: of each image, any values ``[N]``.
    """
    return softmax(logits / fit_temperature(labels, logits, groups))
