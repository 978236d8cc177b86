"""The modified z-score, against the paper's rule worked by hand."""

import numpy as np
import pytest

from graft.analysis.inspect import outliers


def test_scores_by_hand():
    # Median 3, absolute deviations 2 1 0 1 97: MAD 1.
    scores = outliers.modified_z_scores(np.array([1.0, 2, 3, 4, 100]))
    assert scores == pytest.approx([-1.349, -0.6745, 0, 0.6745, 65.4265])


def test_a_fifth_of_outliers_does_not_hide_them():
    values = np.r_[np.random.default_rng(0).normal(0.5, 0.05, 80), np.zeros(20)]
    assert np.abs(values[-1] - values.mean()) / values.std() < 3  # the ordinary score sees nothing
    low, _ = outliers.limits(values)
    assert (values < low).sum() == 20


def test_where_most_values_are_equal_the_mean_deviation_decides():
    values = np.r_[np.ones(90), 1 + np.arange(1, 10) / 1000, 3.0]
    scores = outliers.modified_z_scores(values)
    assert scores.argmax() == 99
    assert scores[99] > outliers.LIMIT


@pytest.mark.parametrize("values", [np.array([]), np.array([4.0]), np.full(9, 0.25)])
def test_nothing_stands_out_where_nothing_varies(values):
    assert outliers.limits(values) is None
    assert not outliers.modified_z_scores(values).any()
