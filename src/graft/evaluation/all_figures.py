"""Every figure of a classifier on one split, with what it is worth: intervals, and the number of images and groups.

Shares of images have score intervals, what is computed from sums over images a bootstrap of whole groups. Figures of
ranks (ROC AUC, average precision) have none.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from graft.core.paired import log_losses
from graft.evaluation.headline import HEADLINE, Figure, Headline
from graft.evaluation.intervals import CONFIDENCE, Interval, number_of_groups, share_interval
from graft.evaluation.metrics import calibration_error_by_chance, evaluate, expected_calibration_error
from graft.evaluation.resampling import bootstrap

if TYPE_CHECKING:
    from scipy.sparse import csr_array

# Figures computed from sums over images, in the order of :func:`figures_of_sums`.
OF_SUMS = (
    "macro_f1",
    "log_loss",
    "balanced_accuracy",
    "macro_precision",
    "macro_recall",
    "weighted_precision",
    "weighted_f1",
    "brier",
    "kappa",
    "mcc",
)
# Their least and greatest values; a perfect classifier has 1, or 0 of the losses.
_RANGE = {"log_loss": (0.0, np.inf), "brier": (0.0, 2.0), "kappa": (-1.0, 1.0), "mcc": (-1.0, 1.0)}
_LOSSES = ("log_loss", "brier")
# Numbers of guesses, of which one is to be right.
GUESSES = (2, 3, 5)


@dataclass(frozen=True)
class AllFigures:
    """All figures of a classifier on one split.

    Attributes:
        figures: by name, the three headline figures first.
        per_class: precision, recall, f1, support (images), the ends of the interval of recall, roc_auc and
            average_precision of each class against the rest; NaN where a class has no image, or has all.
        images: number of images.
        groups: number of groups of images that belong together.
    """

    figures: Mapping[str, Figure]
    per_class: Mapping[str, Mapping[str, float]]
    images: int
    groups: int

    @property
    def headline(self) -> Headline:
        """Return the figures by which models are compared."""
        return Headline({name: self.figures[name] for name in HEADLINE}, self.images, self.groups)

    def flat(self) -> dict[str, float]:
        """Return all figures as ``name``, ``name_low`` and ``name_high``, and the counts."""
        found: dict[str, float] = {"images": self.images, "groups": self.groups}
        for name, figure in self.figures.items():
            found[name] = figure.value
            if figure.interval:
                found |= {f"{name}_low": figure.interval.low, f"{name}_high": figure.interval.high}
        return found


def all_figures(
    labels: np.ndarray, probabilities: np.ndarray, classes: Sequence[str], groups: np.ndarray | None = None
) -> AllFigures:
    """Return every figure of class indices ``[N]`` and probabilities ``[N, C]`` in the order of ``classes``.

    Averages over classes are scikit-learn's: of those that images have or are taken for, ``balanced_accuracy`` of those
    that images have. ``brier`` is the squared distance of the probabilities from the right answer: 0..2, of two classes
    halved, 0..1. ``top_K_accuracy`` is the share of images whose class is among the K most probable.

    Args:
        groups: of each image, any values ``[N]``; None: each is a group by itself.
    """
    probabilities = probabilities.astype(np.float64)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    is_right = probabilities.argmax(axis=1) == labels
    accuracy = Figure(float(is_right.mean()), share_interval(is_right, groups))
    found = {"accuracy": accuracy, **_of_sums(labels, probabilities, groups, accuracy)}
    for guesses in GUESSES:
        if guesses < len(classes):
            stated = probabilities[np.arange(len(labels)), labels]
            # Of equally probable classes, those that come first: as argmax has it.
            ahead = (probabilities > stated[:, None]).sum(axis=1)
            columns = np.arange(len(classes))
            ahead += ((probabilities == stated[:, None]) & (columns < labels[:, None])).sum(axis=1)
            is_among = ahead < guesses
            found[f"top_{guesses}_accuracy"] = Figure(float(is_among.mean()), share_interval(is_among, groups))
    per_class = {name: dict(figures) for name, figures in evaluate(labels, probabilities, classes).per_class.items()}
    ranks = _of_ranks(labels, probabilities)
    for index, figures in enumerate(per_class.values()):
        rows = labels == index
        ends = Interval(np.nan, np.nan)
        if rows.any():
            ends = share_interval(is_right[rows], None if groups is None else groups[rows])
        auc, average_precision = ranks[index].tolist()
        figures |= {"recall_low": ends.low, "recall_high": ends.high}
        figures |= {"roc_auc": auc, "average_precision": average_precision}
    if not np.isnan(ranks).all():
        found["roc_auc"], found["average_precision"] = (Figure(float(one)) for one in np.nanmean(ranks, axis=0))
    chance = calibration_error_by_chance(probabilities)
    found["calibration_error"] = Figure(expected_calibration_error(labels, probabilities))
    ends = Interval(*np.quantile(chance, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]).tolist())
    found["calibration_error_by_chance"] = Figure(float(chance.mean()), ends)
    return AllFigures(found, per_class, len(labels), len(labels) if groups is None else number_of_groups(groups))


def sums_of(labels: np.ndarray, probabilities: np.ndarray) -> csr_array:
    """Return what each image adds to the sums of :func:`figures_of_sums`, ``[N, 3 + 3 C]``.

    The columns are 1, its log loss, its Brier score, and for each class whether it is rightly predicted, predicted, and
    right.

    Args:
        labels: class indices ``[N]``.
        probabilities: float64 ``[N, C]``, whose rows sum to 1.
    """
    from scipy.sparse import csr_array

    count, classes = probabilities.shape
    rows, predicted = np.arange(count), probabilities.argmax(axis=1)
    # The sum over classes of (p - y)^2, without a copy of all probabilities.
    brier = np.einsum("nc,nc->n", probabilities, probabilities) + 1 - 2 * probabilities[rows, labels]
    values = [np.ones(count), log_losses(probabilities, labels), brier / (2 if classes == 2 else 1)]
    columns = [np.full(count, column) for column in range(3)]
    values += [(predicted == labels).astype(np.float64), np.ones(count), np.ones(count)]
    columns += [3 + predicted, 3 + classes + predicted, 3 + 2 * classes + labels]
    index = (np.tile(rows, 6), np.concatenate(columns))
    return csr_array((np.concatenate(values), index), shape=(count, 3 + 3 * classes))


def figures_of_sums(sums: np.ndarray) -> np.ndarray:
    """Return the figures of :data:`OF_SUMS`, ``[B, 10]``, of sums over images ``[B, 3 + 3 C]``."""
    count = np.maximum(sums[:, 0], 1e-12)
    right, predicted, support = np.split(sums[:, 3:], 3, axis=1)
    is_there, is_judged = support > 0, predicted + support > 0
    precision = np.divide(right, predicted, out=np.zeros_like(right), where=predicted > 0)
    recall = np.divide(right, support, out=np.zeros_like(right), where=is_there)
    f1 = np.divide(2 * right, predicted + support, out=np.zeros_like(right), where=is_judged)

    def mean(values: np.ndarray, of: np.ndarray) -> np.ndarray:
        return np.asarray((values * of).sum(axis=1) / np.maximum(of.sum(axis=1), 1e-12))

    # Cohen 1960 and Matthews 1975 for several classes (Gorodkin 2004), in counts.
    hits, agreement = right.sum(axis=1), (predicted * support).sum(axis=1)
    spread = (count**2 - np.square(predicted).sum(axis=1)) * (count**2 - np.square(support).sum(axis=1))
    by_chance = count**2 - agreement
    covariance = hits * count - agreement
    return np.stack(
        [
            mean(f1, is_judged),
            sums[:, 1] / count,
            mean(recall, is_there),
            mean(precision, is_judged),
            mean(recall, is_judged),
            mean(precision, support),
            mean(f1, support),
            sums[:, 2] / count,
            np.divide(covariance, by_chance, out=np.zeros_like(count), where=by_chance > 0),
            np.divide(covariance, np.sqrt(np.maximum(spread, 0)), out=np.zeros_like(count), where=spread > 0),
        ],
        axis=1,
    )


def _of_sums(
    labels: np.ndarray, probabilities: np.ndarray, groups: np.ndarray | None, accuracy: Figure
) -> dict[str, Figure]:
    parts = sums_of(labels, probabilities)
    values = figures_of_sums(np.asarray(parts.sum(axis=0)).reshape(1, -1))[0]
    found = {}
    reaches = _reaches(labels, probabilities)
    for name, value, interval in zip(OF_SUMS, values.tolist(), bootstrap(parts, figures_of_sums, groups), strict=True):
        low, high = interval.low, interval.high
        if name not in _LOSSES and accuracy.interval:
            # Of images without an error no draw has one: no figure of right and wrong is surer than accuracy.
            reach = reaches.get(name, 1.0)
            low = min(low, value + reach * (accuracy.interval.low - accuracy.value))
            high = max(high, value + reach * (accuracy.interval.high - accuracy.value))
        least, most = _RANGE.get(name, (0.0, 1.0))
        ends = Interval(max(low, least), min(high, most))
        found[name] = Figure(value, ends if np.isfinite(ends.high) else None)
    return found


def _reaches(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """Return how much further errors that are as likely in every image move a figure than they move accuracy.

    An error in a class of n_c of the N images moves a mean over C classes by 1 / (C n_c), so that its deviation is
    sqrt(N / C^2 * sum of 1 / n_c) times that of accuracy. Kappa, and about as far Matthews' correlation, are accuracy
    stretched from what chance agrees on up to 1.
    """
    count = len(labels)
    sizes = np.bincount(labels)
    sizes = sizes[sizes > 0]
    predicted = np.bincount(probabilities.argmax(axis=1), minlength=probabilities.shape[1])
    by_chance = float(predicted[labels].mean()) / count
    macro = float(np.sqrt(count * (1 / sizes).sum())) / len(sizes)
    names = [name for name in OF_SUMS if name.startswith(("macro", "balanced"))]
    return {**dict.fromkeys(names, macro), **dict.fromkeys(("kappa", "mcc"), 1 / max(1 - by_chance, 1e-3))}


def _of_ranks(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return ROC AUC and average precision of each class against the rest, ``[C, 2]``; NaN where it has none or all."""
    from sklearn.metrics import average_precision_score, roc_auc_score

    found = np.full((probabilities.shape[1], 2), np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for index in range(len(found)):
            is_class, stated = labels == index, probabilities[:, index]
            if is_class.any() and not is_class.all():
                found[index] = roc_auc_score(is_class, stated), average_precision_score(is_class, stated)
    return found
