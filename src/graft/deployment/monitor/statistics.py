"""Test, with two samples, whether recent images may well be from where the training images are from.

A test answers with a p-value, how often a difference as large comes by chance where there is none, and with the size
of the difference, which does not grow with the number of images. Both count: among very many images everything is
significant, among few everything may be large. All tests take images for independent of each other; see
:mod:`graft.deployment.monitor.log_samples` for what is done about images that repeat each other.
"""

from dataclasses import dataclass

import numpy as np

# Of distances between features, enough to know their median to a percent or so.
_MEDIAN_ROWS = 500


@dataclass(frozen=True)
class TwoSampleResult:
    """The result of a test.

    Attributes:
        p_value: 0 to 1.
        effect: size of the difference, 0 where there is none; see the test for its unit.
    """

    p_value: float
    effect: float


def values_differ(reference: np.ndarray, recent: np.ndarray) -> TwoSampleResult:
    """Test whether one figure per image is distributed otherwise: Kolmogorov-Smirnov, two-sided.

    The effect is its statistic D, 0 to 1: the largest gap between the shares of images up to any one value. With
    ties the p-value errs on the side of no alarm. Both sides are compared as float32: where one of them was stored in
    that precision, a value that many images share would otherwise lie beside itself.

    Args:
        reference, recent: float ``[N]`` and ``[M]``.
    """
    from scipy.stats import ks_2samp

    found = ks_2samp(reference.astype(np.float32), recent.astype(np.float32))
    return TwoSampleResult(float(found.pvalue), float(found.statistic))


def shares_differ(reference: np.ndarray, recent: np.ndarray) -> TwoSampleResult:
    """Test whether classes have other shares: Pearson's chi-square over the table of counts.

    Where a class is expected less than five times in a cell, chi-square's own distribution is no guide (Cochran,
    "Some methods for strengthening the common chi-square tests", Biometrics 10, 1954); then the p-value is from
    9,999 random tables of the same margins. The effect is the total variation distance, 0 to 1: the share of images
    that would have to change class.

    Args:
        reference, recent: how often each class was seen, int ``[C]``, in the same order.
    """
    from scipy.stats import MonteCarloMethod, chi2_contingency

    table = np.stack([reference, recent])
    table = table[:, table.sum(axis=0) > 0]
    if table.shape[1] < 2:
        return TwoSampleResult(1.0, 0.0)
    shares = table / table.sum(axis=1, keepdims=True)
    effect = float(np.abs(shares[0] - shares[1]).sum() / 2)
    found = chi2_contingency(table, correction=False)
    if found.expected_freq.min() >= 5:
        return TwoSampleResult(float(found.pvalue), effect)
    method = MonteCarloMethod(rng=np.random.default_rng(0))
    return TwoSampleResult(float(chi2_contingency(table, correction=False, method=method).pvalue), effect)


def share_rose(reference: tuple[int, int], recent: tuple[int, int]) -> TwoSampleResult:
    """Test whether a share is larger than it was: Fisher's exact test, one-sided. The effect is by how much, 0 to 1.

    Args:
        reference, recent: how many there are of it, and of all.
    """
    from scipy.stats import fisher_exact

    table = [[recent[0], recent[1] - recent[0]], [reference[0], reference[1] - reference[0]]]
    p_value = float(fisher_exact(table, alternative="greater").pvalue)
    return TwoSampleResult(p_value, max(0.0, recent[0] / recent[1] - reference[0] / reference[1]))


def features_differ(reference: np.ndarray, recent: np.ndarray, permutations: int, seed: int) -> TwoSampleResult:
    """Test whether features are distributed otherwise, in whatever way: maximum mean discrepancy, by permutation.

    Gretton et al., "A Kernel Two-Sample Test", JMLR 13, 2012: the unbiased estimate (their equation 3) under a
    Gaussian kernel as wide as the median distance between images (their section 8). The p-value is exact, but no
    smaller than 1 / (permutations + 1). The effect is the distance between the two means in the kernel's space, in
    standard deviations of an image there: as Cohen's d, for all of the features at once.

    Args:
        reference, recent: float ``[N, D]`` and ``[M, D]``.
    """
    both = np.concatenate([reference, recent]).astype(np.float32)
    both -= both.mean(axis=0)
    kernel = _gaussian_kernel(both)
    np.fill_diagonal(kernel, 0)
    first, second = len(reference), len(recent)
    random = np.random.default_rng(seed)
    is_recent = np.zeros((permutations + 1, first + second), np.float32)
    is_recent[:, first:] = 1
    random.permuted(is_recent[1:], axis=1, out=is_recent[1:])
    # Sums of the kernel within the recent ones, between both, and within the others, for every dealing at once.
    with_recent = is_recent @ kernel
    within_recent = np.einsum("bi,bi->b", with_recent, is_recent, dtype=np.float64)
    of_recent = is_recent.astype(np.float64) @ kernel.sum(axis=1, dtype=np.float64)
    between = of_recent - within_recent
    within_first = kernel.sum(dtype=np.float64) - within_recent - 2 * between
    within = within_first / (first * (first - 1)), within_recent / (second * (second - 1))
    discrepancy = within[0] + within[1] - 2 * between / (first * second)
    # Equal dealings must count as equal, whatever the last digits say.
    p_value = float((discrepancy >= discrepancy[0] - 1e-9).mean())
    spread = 1 - (within[0][0] + within[1][0]) / 2
    return TwoSampleResult(p_value, float(np.sqrt(max(0.0, discrepancy[0]) / spread)) if spread > 0 else 0.0)


def holm(p_values: list[float]) -> list[float]:
    """Adjust p-values so that they hold for all tests together: each may be compared with the level of the whole.

    Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6, 1979: the
    chance that any of the tests is wrong about there being a difference stays at the level, however the tests
    depend on each other.
    """
    adjusted, least = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(np.argsort(p_values, kind="stable")):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = least
    return adjusted


def _gaussian_kernel(rows: np.ndarray) -> np.ndarray:
    """Return exp(-d² / 2m²) of all pairs, float32 ``[N, N]``, with m the median distance."""
    squares = np.einsum("nd,nd->n", rows, rows)
    distances = np.maximum(squares[:, None] + squares[None, :] - 2 * rows @ rows.T, 0)
    some = np.linspace(0, len(rows) - 1, min(len(rows), _MEDIAN_ROWS)).astype(int)
    pairs = distances[np.ix_(some, some)][np.triu_indices(len(some), 1)]
    width = float(np.median(pairs)) or 1.0
    return np.exp(-distances / (2 * width))
