"""Two-sample tests on made-up numbers: their level where nothing differs, their power where something does."""

import numpy as np
import pytest
from scipy.stats import ks_2samp

from graft.core.params.monitor_params import MonitorParams
from graft.deployment.monitor.checks import run_checks
from graft.deployment.monitor.log_samples import FIGURES, ModelPredictions, Sample
from graft.deployment.monitor.statistics import (
    TwoSampleResult,
    features_differ,
    holm,
    share_rose,
    shares_differ,
    values_differ,
)


def test_features_of_one_kind_are_called_different_as_often_as_the_level_says() -> None:
    p_values = []
    for seed in range(100):
        random = np.random.default_rng(seed)
        both = random.normal(size=(60, 20))
        p_values.append(features_differ(both[:40], both[40:], 199, seed).p_value)
    # Of 100 p-values spread evenly, 20 or more below 0.1 come once in 500 times; 2 or less, too.
    assert 2 < np.sum(np.array(p_values) <= 0.1) < 20
    assert 0.4 < np.mean(p_values) < 0.6


@pytest.mark.parametrize("kind", ["shifted", "wider", "a group apart"])
def test_features_that_differ_in_any_way_are_found(kind: str) -> None:
    random = np.random.default_rng(1)
    reference, recent = random.normal(size=(150, 20)), random.normal(size=(80, 20))
    if kind == "shifted":
        recent += 0.6
    elif kind == "wider":
        recent *= 1.6
    else:
        recent[:16] += 3
    outcome = features_differ(reference, recent, 199, 0)
    assert outcome.p_value == 1 / 200
    assert outcome.effect > 0.05


def test_the_discrepancy_is_gretton_s_by_hand() -> None:
    random = np.random.default_rng(3)
    first, second = random.normal(size=(7, 3)), random.normal(size=(5, 3)) + 2
    both = np.concatenate([first, second])
    distances = ((both[:, None] - both[None]) ** 2).sum(axis=2)
    kernel = np.exp(-distances / (2 * np.median(distances[np.triu_indices(12, 1)])))
    within_first = (kernel[:7, :7].sum() - 7) / (7 * 6)
    within_second = (kernel[7:, 7:].sum() - 5) / (5 * 4)
    discrepancy = within_first + within_second - 2 * kernel[:7, 7:].mean()
    effect = np.sqrt(discrepancy / (1 - (within_first + within_second) / 2))
    assert features_differ(first, second, 19, 0).effect == pytest.approx(effect, rel=1e-4)


def test_equal_features_are_no_drift() -> None:
    same = np.ones((30, 4))
    assert features_differ(same, same, 99, 0).p_value == 1
    assert features_differ(same, same, 99, 0).effect == 0


def test_values() -> None:
    random = np.random.default_rng(0)
    first, second = random.normal(size=200), random.normal(size=100) + 0.5
    found = values_differ(first, second)
    assert found.p_value == pytest.approx(ks_2samp(first, second).pvalue)
    assert 0.1 < found.effect < 0.4
    assert values_differ(np.full(50, 96.0), np.full(40, 96.0)).p_value == 1


def test_class_shares() -> None:
    assert shares_differ(np.array([50, 50]), np.array([25, 25])).effect == 0
    changed = shares_differ(np.array([500, 500, 0]), np.array([60, 20, 20]))
    assert changed.effect == pytest.approx(0.3)
    assert changed.p_value == 1e-4  # of 9,999 random tables, none is as uneven
    assert shares_differ(np.array([9, 0]), np.array([5, 0])).p_value == 1
    # Three images in the smallest class: chi-square's distribution is no guide, random tables are.
    few = shares_differ(np.array([20, 3]), np.array([10, 0]))
    assert 0.3 < few.p_value <= 1


def test_a_share_that_rose_and_one_that_fell() -> None:
    assert share_rose((2, 1000), (10, 100)).p_value < 1e-6
    assert share_rose((2, 1000), (10, 100)).effect == pytest.approx(0.098)
    fell = share_rose((100, 1000), (0, 100))
    assert fell.p_value > 0.99
    assert fell.effect == 0


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_c8_values_in_two_precisions_are_the_same_values() -> None:
    values = np.repeat([0.1, 0.2, 0.7], 100)
    for first, second in ((values, values.astype(np.float32)), (values.astype(np.float32), values)):
        assert values_differ(first, second) == TwoSampleResult(1.0, 0.0)


def test_c8_the_last_digits_of_probabilities_are_no_drift() -> None:
    sure = np.repeat(np.array([1.0, 0.75], np.float32), 50)
    predictions = [ModelPredictions(np.repeat(["a", "b"], 50), one, "images") for one in (sure, sure * (1 - 1e-6))]
    figures = {name: np.zeros(100) for name in FIGURES}
    first, second = (Sample(figures, 100, 0, predictions=one) for one in predictions)
    checks, _ = run_checks(first, second, MonitorParams())
    (confidence,) = [check for check in checks if check.name == "confidence"]
    assert (confidence.p_value, confidence.effect) == (1.0, 0.0)
