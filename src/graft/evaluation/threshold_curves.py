"""What a classifier does at each threshold: ROC, precision by recall, how far probabilities are true, coverage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from graft.evaluation.intervals import quantile_for, wilson

if TYPE_CHECKING:
    import pandas as pd

# Points of a curve, on a grid that all models share, so that their curves lie side by side in one table.
POINTS = 101
BINS = 10


def roc_curves(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return the true-positive rate of each class against the rest, ``[C, POINTS]``, at even false-positive rates.

    Between the points of a ROC the classifier can be had by tossing a coin, so it is a line there (T. Fawcett, Pattern
    Recognition Letters 27, 2006). NaN for a class that no image, or every one, has.

    Args:
        labels: class indices ``[N]``.
        probabilities: ``[N, C]``.
    """
    grid = np.linspace(0, 1, POINTS)
    found = np.full((probabilities.shape[1], POINTS), np.nan)
    for index in range(len(found)):
        hits, falses = _counts(labels == index, probabilities[:, index])
        if hits[-1] and falses[-1]:
            # At a false-positive rate of 0 the curve rises: the highest point there counts.
            rates = falses / falses[-1]
            found[index] = np.interp(grid, rates, hits / hits[-1])
            found[index, 0] = hits[rates == 0].max() / hits[-1]
    return found


def precision_curves(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return the precision of each class, ``[C, POINTS]``, at even recalls.

    The highest precision at that recall or a higher one, as average precision is drawn (C. Manning, P. Raghavan and
    H. Schütze, Introduction to Information Retrieval, 2008, chapter 8.4). NaN for a class that no image has.

    Args:
        labels, probabilities: as of :func:`roc_curves`.
    """
    grid = np.linspace(0, 1, POINTS)
    found = np.full((probabilities.shape[1], POINTS), np.nan)
    for index in range(len(found)):
        hits, falses = _counts(labels == index, probabilities[:, index])
        if hits[-1]:
            best = np.maximum.accumulate((hits[1:] / (hits[1:] + falses[1:]))[::-1])[::-1]
            found[index] = best[np.searchsorted(hits[1:] / hits[-1], grid - 1e-12)]
    return found


def reliability(labels: np.ndarray, probabilities: np.ndarray, bins: int = BINS) -> pd.DataFrame:
    """Return how often images are right whose most probable class has about the same probability.

    Returns:
        A row for each bin of equal width that has an image: ``confidence`` (their mean probability), ``right`` (share
        that is right), ``low`` and ``high`` (its 95 % interval) and ``images``.
    """
    import pandas as pd

    confidence = probabilities.max(axis=1).astype(np.float64)
    is_right = probabilities.argmax(axis=1) == labels
    index = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    rows = []
    for number in np.unique(index).tolist():
        own = index == number
        share, count = float(is_right[own].mean()), int(own.sum())
        ends = wilson(share, count, quantile_for(0.95))
        rows.append((float(confidence[own].mean()), share, ends.low, ends.high, count))
    return pd.DataFrame(rows, columns=["confidence", "right", "low", "high", "images"])


def coverage(labels: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return for :data:`POINTS` even thresholds the share of images above, and the share of these that is right.

    What a person has to look at, and how good the rest is, where answers below a threshold are not taken. The second
    is NaN where no image is above.
    """
    confidence, is_right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    order = np.sort(confidence)
    above = len(order) - np.searchsorted(order, np.linspace(0, 1, POINTS), side="left")
    hits = np.concatenate([np.cumsum(is_right[np.argsort(confidence)][::-1])[::-1], [0]])[len(order) - above]
    shares = np.full(POINTS, np.nan)
    return above / len(order), np.divide(hits, above, out=shares, where=above > 0)


def curve_tables(models: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, pd.DataFrame]:
    """Return tables for charts of several models: a column of values of x, and one for each model's values of y.

    Args:
        models: labels ``[N]`` and probabilities ``[N, C]`` by name.

    Returns:
        By name: ``roc`` (``false_positive_rate``, true-positive rates), ``precision_recall`` (``recall``, precisions),
        both means over classes; ``reliability`` (``probability``, shares that are right) and ``answered``
        (``threshold``, shares of images above); NaN where there is no value.
    """
    import pandas as pd

    grid, middles = np.linspace(0, 1, POINTS), (np.arange(BINS) + 0.5) / BINS
    tables = {
        "roc": pd.DataFrame({"false_positive_rate": grid}),
        "precision_recall": pd.DataFrame({"recall": grid}),
        "reliability": pd.DataFrame({"probability": middles}),
        "answered": pd.DataFrame({"threshold": grid}),
    }
    for name, (labels, probabilities) in models.items():
        bins = reliability(labels, probabilities)
        places = np.clip(np.ceil(bins["confidence"].to_numpy() * BINS).astype(int) - 1, 0, BINS - 1)
        shares = np.full(BINS, np.nan)
        shares[places] = bins["right"].to_numpy()
        tables["roc"][name] = mean_curve(roc_curves(labels, probabilities))
        tables["precision_recall"][name] = mean_curve(precision_curves(labels, probabilities))
        tables["reliability"][name] = shares
        tables["answered"][name] = coverage(labels, probabilities)[0]
    return tables


def mean_curve(curves: np.ndarray) -> np.ndarray:
    """Return the mean over classes ``[POINTS]`` of curves ``[C, POINTS]``, without those that have none."""
    there = curves[~np.isnan(curves).any(axis=1)]
    return np.asarray(there.mean(axis=0)) if len(there) else np.full(curves.shape[1], np.nan)


def _counts(is_class: np.ndarray, stated: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return true and false positives, from none on, as the threshold falls past each different probability."""
    order = np.argsort(-stated, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(stated[order])), len(order) - 1)
    hits = np.cumsum(is_class[order])[ends]
    return np.append(0, hits), np.append(0, ends + 1 - hits)
