"""Figures of a classifier on one split, from its probabilities.

A page of arithmetic, as scikit-learn has it (the tests hold it to that), whose import takes as long as training a head.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from graft.core.paired import log_losses

# Which way each metric improves.
HIGHER_IS_BETTER = {"accuracy": True, "macro_f1": True, "log_loss": False}


@dataclass(frozen=True)
class Evaluation:
    """Figures of one classifier on one split.

    Attributes:
        accuracy: share of images whose most probable class is right, 0..1.
        macro_f1: mean of the F1 of the classes that images have or are taken for, 0..1: a rare class counts as much
            as a common one. scikit-learn's ``f1_score(average="macro")`` takes the same classes.
        log_loss: mean of -ln(probability of the right class), in nats.
        per_class: precision, recall, F1 and number of images (support) of each class.
        confusion: counts ``[C, C]``, row: actual class, column: predicted class.
    """

    accuracy: float
    macro_f1: float
    log_loss: float
    per_class: dict[str, dict[str, float]]
    confusion: np.ndarray

    def headline(self) -> dict[str, float]:
        """Return the three figures by which strategies are compared."""
        return {"accuracy": self.accuracy, "macro_f1": self.macro_f1, "log_loss": self.log_loss}


def evaluate(labels: np.ndarray, probabilities: np.ndarray, classes: Sequence[str]) -> Evaluation:
    """Compute the figures from class indices ``[N]`` and probabilities ``[N, C]`` in the order of ``classes``.

    A class that is never predicted, or has no image, has precision, or recall, 0. One that is neither has no part in
    ``macro_f1``: nothing was shown of it.
    """
    probabilities = probabilities.astype(np.float64)
    probabilities /= probabilities.sum(axis=1, keepdims=True)  # float32 rows sum to 1 only to seven digits
    count = len(classes)
    predicted = probabilities.argmax(axis=1)
    confusion = np.bincount(labels * count + predicted, minlength=count * count).reshape(count, count)
    right = confusion.diagonal()
    times_predicted, support = confusion.sum(axis=0), confusion.sum(axis=1)
    precision = _share(right, times_predicted)
    recall = _share(right, support)
    f1 = _share(2 * right, times_predicted + support)
    return Evaluation(
        accuracy=float(right.sum() / len(labels)),
        macro_f1=float(np.mean(f1[times_predicted + support > 0])),
        log_loss=log_loss_of(labels, probabilities),
        per_class={
            name: {
                "precision": float(precision[i]),
                "recall": float(recall[i]),
                "f1": float(f1[i]),
                "support": int(support[i]),
            }
            for i, name in enumerate(classes)
        },
        confusion=confusion,
    )


def expected_calibration_error(labels: np.ndarray, probabilities: np.ndarray, bins: int = 15) -> float:
    """Return the mean gap, 0..1, between predicted probabilities and the shares of images that are right.

    Images are put into bins of equal width by the probability of their most probable class, which is compared, in
    each bin, with the share of images that are right (Guo et al., On Calibration of Modern Neural Networks, 2017,
    with 15 bins as there). Few images make it larger by chance: a bin of one image is off by up to 1.

    Args:
        labels: class indices ``[N]``, N at least 1.
        probabilities: ``[N, C]``.
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == labels
    # Bins are open below and closed above, as in the paper; the last also takes what rounding puts above 1.
    index = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.bincount(index, confidence - right, bins)
    return float(np.abs(gaps).sum() / len(labels))


def calibration_error_by_chance(probabilities: np.ndarray, bins: int = 15, draws: int = 1000) -> np.ndarray:
    """Return what :func:`expected_calibration_error` comes to where predicted probabilities are exactly true,
    ``[draws]``.

    Each image is drawn to be right with the probability of its most probable class.

    Args:
        probabilities: ``[N, C]``.
        draws: of all images, with a fixed seed.
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    order = np.argsort(confidence)
    confidence = confidence[order]
    index = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    starts = np.flatnonzero(np.diff(index, prepend=-1))
    generator = np.random.default_rng(2017)
    found = np.empty(draws)
    at_once = max(1, 4_000_000 // len(confidence))
    for start in range(0, draws, at_once):
        rows = found[start : start + at_once]
        gaps = confidence - (generator.random((len(rows), len(confidence))) < confidence)
        rows[:] = np.abs(np.add.reduceat(gaps, starts, axis=1)).sum(axis=1) / len(confidence)
    return found


def log_loss_of(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the mean of -ln(probability of the right class), in nats, as :func:`evaluate` has it.

    Args:
        labels: class indices ``[N]``.
        probabilities: ``[N, C]``, float64. A probability of 0 counts as the least that float64 tells from 1.
    """
    return float(log_losses(probabilities, labels).mean())


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Divide element by element; 0 of 0 is 0."""
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)
