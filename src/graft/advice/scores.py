"""How well a linear classifier does at each depth of a frozen backbone, and whether mirrored images help it.

LogME (Kaichao You et al., "LogME: Practical Assessment of Pre-trained Models for Transfer Learning", ICML 2021,
https://arxiv.org/abs/2102.11005) was measured too, and not taken: it has no folds, so that frames of one film vouch
for each other. On rock-paper-scissors it puts the top of MobileNetV2 first, where a classifier asked about hands that
it has not seen does worse than one below. docs/advisor.md has the figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from graft.advice.depths import DeepFeatures, Depth
from graft.errors import GraftError
from graft.features.probe import OutOfFold, out_of_fold
from graft.progress import progress_bar


@dataclass(frozen=True)
class DepthScore:
    """A linear classifier on the pooled activations of one depth, asked about images that it has not seen.

    Attributes:
        depth: where.
        accuracy: 0 to 1.
        log_loss: in nats.
        right: of each image, whether it was told right, bool ``[N]``.
    """

    depth: Depth
    accuracy: float
    log_loss: float
    right: np.ndarray


def score_depths(
    deep: DeepFeatures, features: np.ndarray, labels: np.ndarray, groups: np.ndarray, seed: int, folds: int
) -> list[DepthScore]:
    """A score for each depth, lowest first.

    Args:
        deep: the backbone.
        features: what it made of the images, float32 ``[N, D]``.
        labels: class indices ``[N]``.
        groups: what folds may not tear apart, ``[N]``.
        seed: of the folds, which are the same at each depth.
        folds: at most.

    Raises:
        GraftError: no class, or one alone, has images (or groups) enough for folds.
    """
    scores = []
    with progress_bar(f"{deep.name}: linear classifiers by depth", len(deep.depths)) as advance:
        for depth in deep.depths:
            judged = probe(features[:, depth.columns], labels, groups, seed, folds)
            best = np.asarray(judged.classes, int)[judged.probabilities.argmax(axis=1)]
            right = best == labels[judged.checked]
            scores.append(
                DepthScore(depth, float(right.mean()), float(_log_losses(judged, labels).mean()), right)
            )
            advance(1)
    return scores


def mirroring_gain(
    alone: float,
    features: np.ndarray,
    mirrored: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    seed: int,
    folds: int,
) -> float:
    """By how much log loss on images as they are falls where the classifier also learns from mirrored ones, in nats.

    Above 0 where a mirrored image is another good example of its class, below where it looks like another class.

    Args:
        alone: log loss without mirrored images, of the same folds: that of :func:`score_depths`.
        features, mirrored: of the same images, float32 ``[N, D]``.
        labels, groups, seed, folds: as for :func:`score_depths`.
    """
    count = len(features)
    # An image and its mirror image share a group, so that neither is asked about with the other known.
    both = probe(
        np.concatenate([features, mirrored]),
        np.tile(labels, 2),
        np.tile(np.unique(groups, return_inverse=True)[1], 2),
        seed,
        folds,
    )
    as_they_are = both.checked < count
    together = _log_losses(both, np.tile(labels, 2))[as_they_are]
    return float(alone - together.mean())


def probe(features: np.ndarray, labels: np.ndarray, groups: np.ndarray, seed: int, folds: int) -> OutOfFold:
    """As :func:`graft.features.probe.out_of_fold`, for class indices; where groups are too few, image by image.

    Raises:
        GraftError: no class, or one alone, has images enough for folds.
    """
    names = np.array([f"{index:09d}" for index in labels])
    judged = out_of_fold(features, names, groups, seed, folds=folds)
    if judged.left_out or not len(judged.checked):
        judged = out_of_fold(features, names, np.arange(len(labels)), seed, folds=folds)
    if not len(judged.checked):
        raise GraftError(
            "The advisor needs at least two classes of three images each to tell apart",
            "Take strategy frozen, or bring in more photographs",
        )
    return judged


def _log_losses(judged: OutOfFold, labels: np.ndarray) -> np.ndarray:
    columns = np.searchsorted(np.asarray(judged.classes, int), labels[judged.checked])
    given = judged.probabilities[np.arange(len(columns)), columns]
    return -np.log(np.clip(given, 1e-12, 1))


def better_by(one: Sequence[bool] | np.ndarray, other: Sequence[bool] | np.ndarray) -> float:
    """By how many standard errors of their difference ``one`` is right more often than ``other``, on equal images.

    The images on which both agree say nothing (McNemar, Psychometrika 12, 1947); 0 where they agree on all.
    """
    difference = np.asarray(one, float) - np.asarray(other, float)
    spread = difference.std()
    return float(difference.mean() / (spread / np.sqrt(len(difference)))) if spread else 0.0
