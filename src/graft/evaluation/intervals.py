"""Intervals for shares of images, and for the difference of two classifiers on the same images.

Both are score intervals: they hold at 100 % of 300 images too, where an interval of plus and minus a standard error has
no width. For a share it is Wilson's (Journal of the American Statistical Association 22, 1927), for a paired difference
that of T. Tango (Statistics in Medicine 17, 1998).

Images of one group, such as frames of one film, tend to be right or wrong together, and so count for less. The score
interval is then that of the effective number of images: their number divided by the design effect, which is the
variance between groups over that of independent images. Its quantile is that of Student's t with one degree of freedom
less than there are groups (E. Korn and B. Graubard, Survey Methodology 24, 1998, who do so for shares).
"""

from dataclasses import dataclass

import numpy as np

CONFIDENCE = 0.95
# Halvings of an interval of length 2: to 1e-12.
_STEPS = 41


@dataclass(frozen=True)
class Interval:
    """Both ends of an interval, in the unit of what it is about."""

    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


def share_interval(is_right: np.ndarray, groups: np.ndarray | None = None, confidence: float = CONFIDENCE) -> Interval:
    """Return the interval of the share of images that are right, within 0..1.

    Args:
        is_right: bool ``[N]``, N at least 1.
        groups: of each image, any values ``[N]``; None: each is a group by itself.
        confidence: of both ends together, 0..1. One end alone at 95 % is that of 0.9.
    """
    values = np.asarray(is_right, np.float64)
    count, units = _effective(values, groups)
    return wilson(float(values.mean()), count, quantile_for(confidence, None if units == len(values) else units))


def wilson(share: float, count: float, quantile: float) -> Interval:
    """Return Wilson's interval of a share, 0..1, of ``count`` independent images.

    Args:
        quantile: in standard deviations; 1.96 for 95 %.
    """
    square = quantile**2
    centre = (share + square / (2 * count)) / (1 + square / count)
    half = quantile / (1 + square / count) * np.sqrt(share * (1 - share) / count + square / (4 * count**2))
    # Rounding must not leave the share itself outside.
    return Interval(float(max(0.0, min(centre - half, share))), float(min(1.0, max(centre + half, share))))


def paired_interval(
    one_right: np.ndarray, other_right: np.ndarray, groups: np.ndarray | None = None, confidence: float = CONFIDENCE
) -> Interval:
    """Return the interval of the accuracy of one classifier less that of another, within -1..1.

    Args:
        one_right, other_right: whether each answers the same image correctly, bool ``[N]``, N at least 1.
        groups: of each image, any values ``[N]``; None: each is a group by itself.
        confidence: of both ends together, 0..1. One end alone at 95 % is that of 0.9.
    """
    differences = np.asarray(one_right, np.float64) - np.asarray(other_right, np.float64)
    count, units = _effective(differences, groups)
    gained, lost = float(np.mean(differences > 0)) * count, float(np.mean(differences < 0)) * count
    # Student's t also for independent images: of 300, 2 that only the other gets right are not yet a loss of less than
    # 2 points at 95 %, which would hold in 6.02 % of cases.
    low, high = tango(np.array([gained]), np.array([lost]), count, quantile_for(confidence, units))
    return Interval(float(low[0]), float(high[0]))


def tango(gained: np.ndarray, lost: np.ndarray, count: float, quantile: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of Tango's score intervals of paired differences ``(gained - lost) / count``.

    The end is the difference at which the score statistic, with the variance that this difference has under the null
    hypothesis, is the quantile; the statistic falls as the difference grows, so halving finds it.

    Args:
        gained, lost: numbers of images that only the one, or only the other, gets right, float ``[K]``.
        count: of all images, above 0.
        quantile: in standard deviations.
    """
    return -_tango_high(lost, gained, count, quantile), _tango_high(gained, lost, count, quantile)


def _tango_high(gained: np.ndarray, lost: np.ndarray, count: float, quantile: float) -> np.ndarray:
    low, high = (gained - lost) / count, np.ones(len(gained))
    for _ in range(_STEPS):
        middle = (low + high) / 2
        linear = (2 * count - gained + lost) * middle - gained - lost
        constant = -lost * middle * (1 - middle)
        only_other = (np.sqrt(np.maximum(linear**2 - 8 * count * constant, 0)) - linear) / (4 * count)
        variance = count * np.maximum(2 * only_other + middle * (1 - middle), 0)
        is_inside = gained - lost - count * middle >= -quantile * np.sqrt(variance)
        low, high = np.where(is_inside, middle, low), np.where(is_inside, high, middle)
    return np.asarray((low + high) / 2)


def quantile_for(confidence: float, groups: int | None = None) -> float:
    """Return the quantile of an interval of that confidence: normal, or t for 2 or more groups."""
    from scipy.special import ndtri, stdtrit  # scipy.stats takes a second to import

    end = (1 + confidence) / 2
    return float(ndtri(end) if groups is None or groups < 2 else stdtrit(groups - 1, end))


def number_of_groups(groups: np.ndarray) -> int:
    """Return how many different groups there are."""
    return len(np.unique(groups))


def _effective(values: np.ndarray, groups: np.ndarray | None) -> tuple[float, int]:
    """Return the effective number of images for the mean of ``values``, and the number of groups."""
    count = len(values)
    if groups is None:
        return float(count), count
    numbers = np.unique(groups, return_inverse=True)[1].reshape(-1)
    sizes = np.bincount(numbers)
    if len(sizes) in (1, count):
        return float(len(sizes)), len(sizes)  # of one group nothing more can be said than of one image
    largest = float(np.square(sizes).sum() / count)  # where all images of a group are right or wrong together
    deviations = values - values.mean()
    independent = float(np.square(deviations).sum())
    between = float(np.square(np.bincount(numbers, deviations)).sum()) * len(sizes) / (len(sizes) - 1)
    effect = largest if independent == 0 else min(max(between / independent, 1.0), largest)
    return count / effect, len(sizes)
