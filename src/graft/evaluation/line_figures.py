"""The figures of several models on the same test images, and the errors of measurement that these have in common.

Images are easy or hard for all models alike, so what is left of a figure's error once the images' own part is taken out
is small, and the same for none. Groups of images are right or wrong together: errors are summed over groups first (the
sandwich of K.-Y. Liang and S. Zeger, Biometrika 73, 1986); of macro-F1 by the jackknife (B. Efron and C. Stein, The
Annals of Statistics 9, 1981).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

Metric = Literal["accuracy", "macro_f1"]
NOT_ASKED = -1
# Numbers that are in memory at a time.
_CELLS = 4_000_000


@dataclass(frozen=True)
class LineFigures:
    """What test images say of several models.

    Attributes:
        figures: of each model, ``[K]``; of one that was not asked about all images, as if it had been.
        noise: covariance of their errors, ``[K, K]``; what all have in common is left out, for it decides nothing.
    """

    figures: np.ndarray
    noise: np.ndarray


def measure_line(
    labels: np.ndarray, predicted: np.ndarray, groups: np.ndarray, metric: Metric, of: np.ndarray | None = None
) -> LineFigures:
    """Return the figures of K models on N images, with the covariance of their errors.

    Args:
        labels: class indices ``[N]``.
        predicted: class indices ``[K, N]``; :data:`NOT_ASKED` where a model was not asked about an image. Of macro-F1
            only images that all were asked about count.
        groups: of each image, any values ``[N]``.
        of: images that the figures are about, bool ``[N]``; the others only tell models apart. By default all.
    """
    asked = predicted != NOT_ASKED
    used = asked.all(axis=0) if metric == "macro_f1" else asked.any(axis=0)
    labels, predicted, asked = labels[used], predicted[:, used], asked[:, used]
    names, units = np.unique(groups[used], return_inverse=True)
    if metric == "macro_f1":
        figures, errors = _macro_f1(labels, predicted, units)
    else:
        about = np.ones(len(labels), bool) if of is None else of[used]
        figures, errors = _accuracy(predicted == labels, asked, units, about)
    return LineFigures(figures, _covariance(errors, asked.sum(axis=1), len(names)))


def _accuracy(
    is_right: np.ndarray, asked: np.ndarray, units: np.ndarray, about: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return accuracies ``[K]`` and what each unit adds to their errors ``[K, U]``.

    Whether a model is right is a part of its own and one of the image, by least squares (two-way analysis of variance
    with empty cells; F. Yates, The Analysis of Multiple Classifications with Unequal Numbers, JASA 29, 1934).
    """
    times = asked.sum(axis=0)
    weights = asked / times
    normal = np.diag(asked.sum(axis=1)) - weights @ asked.T
    own_part = np.linalg.pinv(normal, hermitian=True)
    beyond = own_part @ (asked * (is_right - (weights * is_right).sum(axis=0))).sum(axis=1)
    ease = (weights * (is_right - beyond[:, None])).sum(axis=0)
    residuals = asked * (is_right - beyond[:, None] - ease)
    sums = np.stack([np.bincount(units, row, units.max() + 1) for row in residuals])
    return ease[about].mean() + beyond, own_part @ sums


def _macro_f1(labels: np.ndarray, predicted: np.ndarray, units: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return macro-F1 ``[K]`` and what each unit adds to its errors ``[K, U]``."""
    count, classes = units.max() + 1, max(labels.max(), predicted.max()) + 1
    support = np.zeros((count, classes))
    np.add.at(support, (units, labels), 1)
    figures, errors = [], []
    for one in predicted:
        right, times = np.zeros_like(support), np.zeros_like(support)
        np.add.at(right, (units[one == labels], one[one == labels]), 1)
        np.add.at(times, (units, one), 1)
        both = times + support
        totals = right.sum(axis=0), both.sum(axis=0)
        figures.append(_mean_f1(*(total[None] for total in totals))[0])
        rows = max(1, _CELLS // classes)
        without = np.concatenate(
            [
                _mean_f1(totals[0] - right[start : start + rows], totals[1] - both[start : start + rows])
                for start in range(0, count, rows)
            ]
        )
        errors.append((without.mean() - without) * (count - 1) / count)
    # What an image does to all models alike is none of their difference.
    return np.array(figures), np.array(errors) - np.mean(errors, axis=0)


def _mean_f1(right: np.ndarray, both: np.ndarray) -> np.ndarray:
    """Return the mean F1 ``[B]`` over the classes that images have or are taken for."""
    f1 = np.divide(2 * right, both, out=np.zeros_like(right), where=both > 0)
    return np.asarray(f1.sum(axis=1) / np.maximum((both > 0).sum(axis=1), 1))


def _covariance(errors: np.ndarray, images: np.ndarray, units: int) -> np.ndarray:
    """Return the covariance of the errors of K models from what each of U units adds to them, ``[K, U]``.

    Of few units the covariances themselves are uncertain, and are drawn towards independent errors of images of one
    kind (O. Ledoit and M. Wolf, Journal of Multivariate Analysis 88, 2004), by as much as there are models for units.

    Args:
        images: that each model was asked about, ``[K]``.
    """
    models = len(errors)
    # That no image tells two models apart does not mean that none would: one more may.
    least = np.diag(1 / (2.0 * images * units))
    if models == 1 or units == 1:
        return least + (0.25 * np.eye(models) if units == 1 else 0)
    own = errors @ errors.T * units / (units - 1)
    size = np.trace(own) / (models - 1)  # one of K was spent on the images' own part
    alone = np.diag(size / images / np.mean(1 / images))
    drawn = models / (models + units - 1)
    return np.asarray((1 - drawn) * (own + size / models) + drawn * alone + least)
