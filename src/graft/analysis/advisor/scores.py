"""How well a linear classifier does at each depth of a frozen backbone, and whether mirrored images help it.

LogME (Kaichao You et al., "LogME: Practical Assessment of Pre-trained Models for Transfer Learning", ICML 2021,
https://arxiv.org/abs/2102.11005) was measured too, and not taken: it has no folds, so that frames of one film vouch
for each other. On rock-paper-scissors it puts the top of MobileNetV2 first, where a classifier asked about hands that
it has not seen does worse than one below. docs/advisor.md has the figures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from graft.analysis.advisor.depths import DeepFeatures, Depth
from graft.analysis.probe import OutOfFold, out_of_fold
from graft.core.errors import GraftError
from graft.core.progress import progress_bar

# A gain counts where it is so many times what chance makes of it: one in forty that are none does, too.
STANDARD_ERRORS = 2.0


@dataclass(frozen=True)
class DepthScore:
    """A linear classifier on the pooled activations of one depth, asked about images that it has not seen.

    Attributes:
        depth: where.
        checked: indices of the images that it was asked about, int ``[M]``, rising.
        right: of each of these, whether it was told right, bool ``[M]``.
        losses: likewise, in nats.
        groups: likewise, what belongs together.
    """

    depth: Depth
    checked: np.ndarray
    right: np.ndarray
    losses: np.ndarray
    groups: np.ndarray

    @property
    def accuracy(self) -> float:
        """0 to 1."""
        return float(self.right.mean())

    @property
    def log_loss(self) -> float:
        """In nats."""
        return float(self.losses.mean())


@dataclass(frozen=True)
class Gain:
    """By how much one is better than another on the same images.

    Attributes:
        mean: above 0 where it is.
        standard_error: of ``mean``.
    """

    mean: float
    standard_error: float

    @property
    def is_sure(self) -> bool:
        """Whether it is one, and more than chance makes of none."""
        return self.mean > STANDARD_ERRORS * self.standard_error


def paired_gain(differences: np.ndarray, groups: np.ndarray) -> Gain:
    """The mean of differences ``[N]``, and how far chance moves it where images of a group ``[N]`` are no news.

    Of images on which both agree nothing is learned (McNemar, Psychometrika 12, 1947), and what a group has in common
    counts once: standard errors are of sums of groups (A. Colin Cameron and Douglas L. Miller, "A Practitioner's
    Guide to Cluster-Robust Inference", Journal of Human Resources 50, 2015, section II).
    """
    values = np.asarray(differences, float)
    names, members = np.unique(groups, return_inverse=True)
    sums = np.bincount(members, values - values.mean())
    count = len(names)
    if count < 2:
        return Gain(float(values.mean()), np.inf)  # of one group nothing is known
    spread = np.sqrt((sums**2).sum() * count / (count - 1))
    return Gain(float(values.mean()), float(spread / len(values)))


def score_depths(
    deep: DeepFeatures, features: np.ndarray, labels: np.ndarray, groups: np.ndarray, seed: int, folds: int
) -> list[DepthScore]:
    """A score for each depth, lowest first.

    Args:
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
            checked = judged.checked
            best = np.asarray(judged.classes, int)[judged.probabilities.argmax(axis=1)]
            right = best == labels[checked]
            scores.append(DepthScore(depth, checked, right, _log_losses(judged, labels), groups[checked]))
            advance(1)
    return scores


def mirroring_gain(
    alone: DepthScore,
    features: np.ndarray,
    mirrored: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    seed: int,
    folds: int,
) -> Gain:
    """By how much log loss on images as they are falls where the classifier also learns from mirrored ones, in nats.

    Above 0 where a mirrored image is another good example of its class, below where it looks like another class.

    Args:
        alone: without mirrored images, of the same folds: what :func:`score_depths` found.
        features, mirrored: of the same images, float32 ``[N, D]``.
        labels, groups, seed, folds: as for :func:`score_depths`.
    """
    # An image and its mirror image share a group, so that neither is asked about with the other known.
    both = probe(
        np.concatenate([features, mirrored]),
        np.tile(labels, 2),
        np.tile(np.unique(groups, return_inverse=True)[1], 2),
        seed,
        folds,
    )
    shared = np.intersect1d(alone.checked, both.checked)
    together = _log_losses(both, np.tile(labels, 2))[np.searchsorted(both.checked, shared)]
    without = alone.losses[np.searchsorted(alone.checked, shared)]
    return paired_gain(without - together, groups[shared])


def probe(features: np.ndarray, labels: np.ndarray, groups: np.ndarray, seed: int, folds: int) -> OutOfFold:
    """As :func:`graft.analysis.probe.out_of_fold`, for class indices; where groups are too few, image by image.

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
