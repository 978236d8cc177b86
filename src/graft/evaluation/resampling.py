"""The bootstrap by groups, for figures that are no share of images: macro-F1, log loss, and differences of these.

Whole groups are drawn with replacement, as many as there are (B. Efron and R. Tibshirani, An Introduction to the
Bootstrap, 1993, chapters 13 and 14). Every figure here is a function of sums over images, so a draw is a row of a
matrix product, and a thousand draws of 20,000 images take about a second. The ends are bias-corrected and accelerated
(B. Efron, Better bootstrap confidence intervals, Journal of the American Statistical Association 82, 1987), from
quantiles that are widened for few groups by Student's t (T. Hesterberg, What teachers should know about the bootstrap,
The American Statistician 69, 2015).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from graft.evaluation.intervals import CONFIDENCE, Interval, quantile_for

if TYPE_CHECKING:
    from scipy.sparse import csr_array

DRAWS = 1000
_SEED = 1987  # equal answers give equal intervals
# Numbers that are in memory at a time.
_CELLS = 4_000_000

# Of sums over images, float64 ``[B, K]``, the figures ``[B, F]``.
Figures = Callable[[np.ndarray], np.ndarray]


def bootstrap(
    parts: csr_array | np.ndarray,
    figures: Figures,
    groups: np.ndarray | None = None,
    confidence: float = CONFIDENCE,
    draws: int = DRAWS,
) -> list[Interval]:
    """Return an interval for each of F figures.

    Where no draw differs from the images themselves, such as where all are right, an interval has no width: it says
    nothing of how many errors more images would show.

    Args:
        parts: what each image adds to the sums, ``[N, K]``.
        figures: computed from sums of parts over images; called with the sums of many draws at once.
        groups: of each image, any values ``[N]``; None: each is a group by itself.
        confidence: of both ends together, 0..1.
        draws: of all groups.
    """
    from scipy.sparse import csr_array
    from scipy.special import ndtr, ndtri

    sums = csr_array(parts) if groups is None else _summed(csr_array(parts), groups)
    count = sums.shape[0]
    total = np.asarray(sums.sum(axis=0)).reshape(1, -1)
    found = figures(total)[0]
    if count < 2:
        return [Interval(-np.inf, np.inf)] * len(found)
    drawn = _drawn(sums, figures, draws)
    deleted = _without_each(sums, total, figures)
    low_high = np.array([-1, 1]) * quantile_for(confidence, count) * np.sqrt(count / (count - 1))
    intervals = []
    for one, of_draws, of_deleted in zip(found, drawn.T, deleted.T, strict=True):
        below = (np.mean(of_draws < one) + np.mean(of_draws <= one)) / 2
        bias = ndtri(np.clip(below, 1 / (draws + 1), draws / (draws + 1)))
        pulls = of_deleted.mean() - of_deleted
        spread = np.square(pulls).sum() ** 1.5
        # Rounding of equal figures is no spread.
        acceleration = (pulls**3).sum() / (6 * spread) if spread > 1e-40 else 0.0
        moved = bias + low_high
        ends = np.quantile(of_draws, ndtr(bias + moved / np.maximum(1 - acceleration * moved, 1e-3)))
        intervals.append(Interval(float(min(ends[0], one)), float(max(ends[1], one))))
    return intervals


def _summed(parts: csr_array, groups: np.ndarray) -> csr_array:
    """Return the sums of parts over each group, ``[G, K]``."""
    from scipy.sparse import csr_array

    numbers = np.unique(groups, return_inverse=True)[1].reshape(-1)
    count = len(numbers)
    return csr_array((np.ones(count), (numbers, np.arange(count)))) @ parts


def _drawn(sums: csr_array, figures: Figures, draws: int) -> np.ndarray:
    """Return the figures of each draw, ``[draws, F]``."""
    count, columns = sums.shape
    generator = np.random.default_rng(_SEED)
    at_once = max(1, _CELLS // max(count, columns))
    found = []
    for start in range(0, draws, at_once):
        rows = min(at_once, draws - start)
        cells = generator.integers(0, count, (rows, count)) + np.arange(rows)[:, None] * count
        times = np.bincount(cells.ravel(), minlength=rows * count).reshape(rows, count)
        found.append(figures(np.asarray(times @ sums, np.float64)))
    return np.concatenate(found)


def _without_each(sums: csr_array, total: np.ndarray, figures: Figures) -> np.ndarray:
    """Return the figures without each group, ``[G, F]``: the jackknife, which the acceleration is from."""
    count, columns = sums.shape
    at_once = max(1, _CELLS // columns)
    return np.concatenate(
        [figures(total - sums[start : start + at_once].toarray()) for start in range(0, count, at_once)]
    )
