"""Figures of a classifier on one split, from its probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

# Which way each metric improves.
HIGHER_IS_BETTER = {"accuracy": True, "macro_f1": True, "log_loss": False}


@dataclass(frozen=True)
class Evaluation:
    """Figures of one classifier on one split.

    Attributes:
        accuracy: share of images whose most probable class is right, 0..1.
        macro_f1: mean of the classes' F1: a rare class counts as much as a common one, 0..1.
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
        """The three figures by which strategies are compared."""
        return {"accuracy": self.accuracy, "macro_f1": self.macro_f1, "log_loss": self.log_loss}

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready: headline figures, then per class."""
        return {**self.headline(), "per_class": self.per_class}


def evaluate(labels: np.ndarray, probabilities: np.ndarray, classes: Sequence[str]) -> Evaluation:
    """Figures from class indices ``[N]`` and probabilities ``[N, C]`` in the order of ``classes``.

    A class that is never predicted, or has no image, has precision, or recall, 0.
    """
    from sklearn import metrics

    probabilities = probabilities.astype(np.float64)
    probabilities /= probabilities.sum(axis=1, keepdims=True)  # float32 rows sum to 1 only to seven digits
    predicted = probabilities.argmax(axis=1)
    indices = list(range(len(classes)))
    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        labels, predicted, labels=indices, zero_division=0
    )
    return Evaluation(
        accuracy=float(metrics.accuracy_score(labels, predicted)),
        macro_f1=float(np.mean(f1)),
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
        confusion=metrics.confusion_matrix(labels, predicted, labels=indices),
    )


def log_loss_of(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean of -ln(probability of the right class), in nats, as :func:`evaluate` has it.

    Args:
        labels: class indices ``[N]``.
        probabilities: ``[N, C]``.
    """
    from sklearn.metrics import log_loss

    return float(log_loss(labels, probabilities, labels=range(probabilities.shape[1])))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities float64 ``[N, C]`` of logits, summing to 1 in double precision."""
    shifted = np.asarray(logits, np.float64) - np.max(logits, axis=1, keepdims=True)
    exponentials = np.exp(shifted)
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))
