"""Fit the head of a frozen strategy to shares of the training images: whether more photographs would help."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from graft.analysis.choose.choose import draw
from graft.core.paired import Difference, difference, log_losses
from graft.evaluation.comparison import Comparison, compare
from graft.evaluation.intervals import share_interval
from graft.evaluation.metrics import evaluate
from graft.networks.class_weights import balanced_class_weights
from graft.networks.exact_head import fit_exact_head
from graft.networks.grouped_folds import grouped_folds
from graft.networks.temperature import fit_temperature, softmax
from graft.training.studies.study_images import StudyImages

if TYPE_CHECKING:
    import pandas as pd

SHARES = (0.1, 0.2, 0.5, 1.0)
FOLDS = 5
# Of the cross-validation within a share, which chooses the penalty.
INNER_FOLDS = 3


@dataclass(frozen=True)
class LearningCurve:
    """The figures of heads that were fitted to shares of the images.

    Attributes:
        points: a row for each share: share, images (fitted to, the mean over folds), accuracy with ``low`` and ``high``
            of its 95 % interval, macro_f1, log_loss.
        last_step: the largest share against the one before, on the same images.
        log_loss_step: how much lower its log loss is, in nats, likewise.
    """

    points: pd.DataFrame
    last_step: Comparison
    log_loss_step: Difference

    @property
    def answer(self) -> str:
        """Return what the curve says of more photographs, as a sentence."""
        step, (before, after) = self.last_step, self.points["images"].to_numpy()[-2:]
        gained = (
            f"from {before:,.0f} to {after:,.0f} photographs accuracy changed by {100 * step.difference:+.2f} points "
            f"[{100 * step.low:+.1f}, {100 * step.high:+.1f}]"
        )
        if step.low > 0:
            return f"More photographs are likely to help: {gained}."
        if step.high < 0.01:
            return f"More photographs of this kind are unlikely to help by a point: {gained}."
        loss = self.log_loss_step
        if loss.gain > 2 * loss.error:
            return (
                f"More photographs are likely to make probabilities better, if not more of them right: {gained}, and "
                f"log loss fell by {loss.gain:.4f} +- {loss.error:.4f}."
            )
        return f"Whether more photographs would help, these cannot tell: {gained}."


def learning_curve(images: StudyImages, seed: int, shares: Sequence[float] = SHARES) -> LearningCurve:
    """Return the figures of all images by heads that were fitted to shares of the other folds' groups.

    Whole groups are drawn, each class in its share, so that a smaller share is a part of each larger one.

    Args:
        seed: of folds and draws.
        shares: above 0, up to 1, rising, two or more.
    """
    import pandas as pd

    fold_of = grouped_folds(images.labels, images.groups, FOLDS, seed)
    rows, right, losses = [], [], []
    for share in shares:
        probabilities = np.zeros((len(images.labels), len(images.classes)))
        counts = []
        for fold in np.unique(fold_of):
            others = np.flatnonzero(fold_of != fold)
            most = max(1, round(share * len(others)))
            drawn = others[draw(images.labels[others], images.groups[others], most, seed)]
            counts.append(len(drawn))
            probabilities[fold_of == fold] = _answers(images, drawn, fold_of == fold, seed)
        found = evaluate(images.labels, probabilities, images.classes)
        is_right = probabilities.argmax(axis=1) == images.labels
        ends = share_interval(is_right, images.groups)
        right.append(is_right)
        losses.append(log_losses(probabilities, images.labels))
        rows.append(
            {
                "share": share,
                "images": float(np.mean(counts)),
                "accuracy": found.accuracy,
                "low": ends.low,
                "high": ends.high,
                "macro_f1": found.macro_f1,
                "log_loss": found.log_loss,
            }
        )
    return LearningCurve(
        pd.DataFrame(rows),
        compare(right[-1], right[-2], 0.95, images.groups),
        difference(losses[-1], losses[-2], images.groups),
    )


def _answers(images: StudyImages, rows: np.ndarray, held_out: np.ndarray, seed: int) -> np.ndarray:
    """Return probabilities of the images ``held_out`` by heads that were fitted to ``rows``, ``[M, C]``."""
    count, classes = int(held_out.sum()), len(images.classes)
    if len(np.unique(images.groups[rows])) < 2:  # no penalty can be chosen
        frequencies = np.bincount(images.labels[rows], minlength=classes) + 1.0
        return np.tile(frequencies / frequencies.sum(), (count, 1))
    total = sum(member.weight for member in images.members)
    mixture = np.zeros((count, classes))
    for member in images.members:
        labels = np.tile(images.labels[rows], 1 + len(member.mirrored))
        groups = np.tile(images.groups[rows], 1 + len(member.mirrored))
        features = np.concatenate([member.features[rows], *(one[rows] for one in member.mirrored)])
        weights = balanced_class_weights(labels, classes)[labels] if images.class_weight == "balanced" else None
        head = fit_exact_head(features, labels, classes, groups=groups, weights=weights, folds=INNER_FOLDS, seed=seed)
        temperature = fit_temperature(labels, head.out_of_fold, groups)
        mixture += member.weight / total * softmax(head.logits(member.features[held_out]) / temperature)
    return mixture
