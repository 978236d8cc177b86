"""The bootstrap by groups: its coverage by simulation, its seed, and its time."""

import time

import numpy as np
import pytest

from graft.evaluation.resampling import bootstrap


def means(sums: np.ndarray) -> np.ndarray:
    """Mean of column 1 by the count in column 0."""
    return sums[:, 1:] / np.maximum(sums[:, :1], 1)


def with_count(values: np.ndarray) -> np.ndarray:
    return np.stack([np.ones(len(values)), values], axis=1)


def test_the_mean_of_skewed_losses_is_covered() -> None:
    """Log losses of good models are such: most are near 0, a few large."""
    generator, trials = np.random.default_rng(0), 150
    covered = sum(
        0.1 in bootstrap(with_count(generator.gamma(0.5, 0.2, 300)), means, draws=300)[0] for _ in range(trials)
    )
    assert covered / trials >= 0.92


def test_groups_are_drawn_whole() -> None:
    generator, trials = np.random.default_rng(1), 100
    names = np.repeat(np.arange(15), 20)
    covered = {"groups": 0, "images": 0}
    for _ in range(trials):
        values = with_count(generator.normal(0, 1, 15)[names] + generator.normal(0, 1, 300))
        covered["groups"] += 0.0 in bootstrap(values, means, names, draws=300)[0]
        covered["images"] += 0.0 in bootstrap(values, means, None, draws=300)[0]
    assert covered["groups"] / trials >= 0.9
    assert covered["images"] / trials < 0.6


def test_equal_answers_give_equal_intervals_whose_order_does_not_matter() -> None:
    values = with_count(np.random.default_rng(2).random(100))
    once, again = bootstrap(values, means), bootstrap(values, means)
    assert once == again
    assert once[0].low < values[:, 1].mean() < once[0].high


def test_a_mean_of_many_images_has_about_the_interval_of_its_standard_error() -> None:
    values = np.random.default_rng(3).normal(5, 2, 4000)
    found = bootstrap(with_count(values), means)[0]
    error = values.std() / np.sqrt(len(values))
    assert (found.low, found.high) == pytest.approx(
        (values.mean() - 1.96 * error, values.mean() + 1.96 * error), abs=0.01
    )


def test_one_group_says_nothing() -> None:
    found = bootstrap(with_count(np.arange(5.0)), means, np.zeros(5))[0]
    assert (found.low, found.high) == (-np.inf, np.inf)


def test_a_thousand_draws_of_twenty_thousand_images_are_quick() -> None:
    values = np.random.default_rng(4).random((20_000, 6))
    start = time.process_time()
    bootstrap(values, lambda sums: sums, draws=1000)
    assert time.process_time() - start < 8  # about 1 s; the machine may be busy
