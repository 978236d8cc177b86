"""Bets on differences: fair ones seldom win much, however often one looks, and a true difference is found."""

import numpy as np
import pytest

from graft.evaluation.betting import winnings


def drawn(better: float, worse: float, runs: int, images: int) -> np.ndarray:
    chance = np.random.default_rng(11)
    return np.asarray(chance.choice([1, -1, 0], (runs, images), p=[better, worse, 1 - better - worse]))


def test_looking_after_every_image_finds_twenty_in_at_most_one_case_of_twenty() -> None:
    ever = [max(winnings(run[:count]) for count in range(20, 201, 20)) >= 20 for run in drawn(0.04, 0.04, 300, 200)]
    assert np.mean(ever) <= 0.05


def test_fair_bets_neither_win_nor_lose_on_average() -> None:
    assert np.mean([winnings(run) for run in drawn(0.05, 0.05, 600, 60)]) == pytest.approx(1, abs=0.1)


def test_a_true_difference_is_found_and_its_opposite_never() -> None:
    runs = drawn(0.10, 0.02, 60, 300)
    assert np.mean([winnings(run) >= 20 for run in runs]) > 0.8
    assert max(winnings(-run) for run in runs) < 5


def test_nothing_seen_is_no_evidence() -> None:
    assert winnings(np.array([])) == 1
    assert winnings(np.zeros(50)) == 1
