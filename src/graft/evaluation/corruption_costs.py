"""Accuracy of a bundle on test images that are blurred, dark, turned and so on, at five severities."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from graft.bundle.model import ImageClassifier
from graft.evaluation.corruptions import CORRUPTIONS, SEVERITIES
from graft.evaluation.intervals import Interval, paired_interval, share_interval

_BATCH = 64


@dataclass(frozen=True)
class Robustness:
    """The cost of one corruption.

    Attributes:
        kind: of :data:`graft.evaluation.corruptions.CORRUPTIONS`; ``""`` for the images as they are.
        severity: 1..5; 0 likewise.
        accuracy: share of images that are right, 0..1, and its 95 % interval.
        interval: of the accuracy.
        difference: accuracy less that on the images as they are, -1..1, on the same images.
        difference_interval: of that, 95 %.
    """

    kind: str
    severity: int
    accuracy: float
    interval: Interval
    difference: float
    difference_interval: Interval


def robustness(
    model: ImageClassifier,
    pixels: Callable[[int, np.ndarray], np.ndarray],
    labels: np.ndarray,
    groups: np.ndarray,
    advance: Callable[[int], None] = lambda images: None,
) -> list[Robustness]:
    """Return the accuracy on the images as they are, and with each corruption at each severity.

    Args:
        model: whose ``classes`` the labels are indices of.
        pixels: of a side and indices of images, uint8 ``[M, S, S, 3]``.
        labels: class indices ``[N]``.
        groups: of each image, any values ``[N]``.
        advance: called with the number of images that were answered.
    """
    conditions = [("", 0), *((kind, severity) for kind in CORRUPTIONS for severity in SEVERITIES)]
    right = np.zeros((len(conditions), len(labels)), bool)
    for start in range(0, len(labels), _BATCH):
        rows = np.arange(start, min(start + _BATCH, len(labels)))
        by_side = {side: pixels(side, rows) for side in model.image_sizes}
        for number, (kind, severity) in enumerate(conditions):
            changed = {side: CORRUPTIONS[kind](one, severity) if kind else one for side, one in by_side.items()}
            right[number, rows] = model.probabilities(changed).argmax(axis=1) == labels[rows]
            advance(len(rows))
    return [
        Robustness(
            kind,
            severity,
            float(one.mean()),
            share_interval(one, groups),
            float(one.mean() - right[0].mean()),
            paired_interval(one, right[0], groups),
        )
        for (kind, severity), one in zip(conditions, right, strict=True)
    ]
