"""The images that a classifier gets wrong, in the order in which a person wants to see them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from graft.core.paired import log_losses


@dataclass(frozen=True)
class ConfusedPair:
    """Images of one class that are taken for another.

    Attributes:
        actual, predicted: class indices.
        images: indices, the most certain first.
        share: of all images of the class, 0..1.
    """

    actual: int
    predicted: int
    images: np.ndarray
    share: float


@dataclass(frozen=True)
class Mistakes:
    """Indices of images that are wrong, and of some that are right.

    Attributes:
        wrong: how many are wrong.
        costliest: those with the greatest log loss, that first.
        certain: others, of which the model is most certain, that first; of two classes there are none, for the
            certain mistakes are the costly ones.
        pairs: classes most often taken for each other, those with the most images first.
        right: drawn from those that are right.
    """

    wrong: int
    costliest: np.ndarray
    certain: np.ndarray
    pairs: list[ConfusedPair]
    right: np.ndarray


def find_mistakes(labels: np.ndarray, probabilities: np.ndarray, most: int = 24, pairs: int = 8) -> Mistakes:
    """Return the mistakes of a classifier.

    Args:
        labels: class indices ``[N]``.
        probabilities: ``[N, C]``.
        most: images of a kind at most.
        pairs: of confused classes at most.
    """
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    losses = log_losses(probabilities.astype(np.float64), labels)
    costliest = wrong[np.argsort(-losses[wrong], kind="stable")][:most]
    by_certainty = wrong[np.argsort(-confidence[wrong], kind="stable")]
    certain = by_certainty[~np.isin(by_certainty, costliest)][:most] if probabilities.shape[1] > 2 else wrong[:0]
    counts = np.bincount(labels, minlength=probabilities.shape[1])
    keys, first = np.unique(labels[wrong] * probabilities.shape[1] + predicted[wrong], return_inverse=True)
    sizes = np.bincount(first.reshape(-1), minlength=len(keys))
    confused = []
    for place in np.argsort(-sizes, kind="stable")[:pairs].tolist():
        actual, taken_for = divmod(int(keys[place]), probabilities.shape[1])
        own = by_certainty[(labels[by_certainty] == actual) & (predicted[by_certainty] == taken_for)]
        confused.append(ConfusedPair(actual, taken_for, own, len(own) / int(counts[actual])))
    right = np.flatnonzero(predicted == labels)
    drawn = np.random.default_rng(0).permutation(right)[: most // 2]
    return Mistakes(len(wrong), costliest, certain, confused, drawn)
