"""Bets on differences: fair ones seldom win much, however often one looks, and a true difference is found."""

import numpy as np
import pytest

from graft.evaluation.betting import Bets, winnings

WEEKS = 52


def drawn(better: float, worse: float, runs: int, images: int) -> np.ndarray:
    chance = np.random.default_rng(11)
    return np.asarray(chance.choice([1, -1, 0], (runs, images), p=[better, worse, 1 - better - worse]))


def shown_in_a_year(differences: np.ndarray) -> float:
    """Return the share of runs in which one of 52 weekly looks sees 20 or more; ``[R, 52, N]``."""
    bets, seen = Bets((len(differences),)), np.zeros(len(differences), bool)
    for week in range(WEEKS):
        for image in range(differences.shape[2]):
            bets.settle(differences[:, week, image])
        seen |= bets.wealth >= 20
    return float(seen.mean())


@pytest.mark.parametrize("apart", [0.02, 0.1, 0.3])
def test_a_champion_as_good_as_its_challengers_is_called_stuck_in_at_most_one_year_of_twenty(apart: float) -> None:
    assert shown_in_a_year(drawn(apart / 2, apart / 2, 2000, WEEKS * 20).reshape(2000, WEEKS, 20)) <= 0.05


@pytest.mark.parametrize("promised", [0.75, 0.945, 0.99])
def test_a_champion_that_keeps_its_promise_is_called_worse_in_at_most_one_year_of_twenty(promised: float) -> None:
    right = np.random.default_rng(12).random((2000, WEEKS, 20)) < promised
    assert shown_in_a_year(promised - right) <= 0.05


def test_the_same_holds_of_groups_whose_images_are_right_together() -> None:
    """Two groups a week, of 5 to 60 images that share a level of their own: one bet a group."""
    chance = np.random.default_rng(13)
    sizes, level = chance.integers(5, 61, (2000, WEEKS, 2)), chance.beta(9, 1, (2000, WEEKS, 2))
    assert shown_in_a_year(0.9 - chance.binomial(sizes, level) / sizes) <= 0.05
    by_image = chance.binomial(sizes, level) - chance.binomial(sizes, chance.permuted(level, axis=0))
    assert shown_in_a_year(by_image / sizes) <= 0.05


def test_challengers_that_are_better_or_a_broken_promise_are_shown_within_a_year() -> None:
    assert shown_in_a_year(drawn(0.10, 0.04, 300, WEEKS * 20).reshape(300, WEEKS, 20)) > 0.9
    right = np.random.default_rng(14).random((300, WEEKS, 20)) < 0.88
    assert shown_in_a_year(0.945 - right) > 0.9


def test_fair_bets_neither_win_nor_lose_on_average() -> None:
    assert np.mean([winnings(run) for run in drawn(0.05, 0.05, 600, 60)]) == pytest.approx(1, abs=0.1)


def test_their_opposite_is_never_shown() -> None:
    assert max(winnings(-run) for run in drawn(0.10, 0.02, 60, 300)) < 5


def test_nothing_seen_is_no_evidence() -> None:
    assert winnings(np.array([])) == 1
    assert winnings(np.zeros(50)) == 1


def test_a_series_that_begins_anew_has_forgotten_what_was_before() -> None:
    bets = Bets((2,))
    for one in (1.0, 1.0, 0.5):
        bets.settle(np.full(2, one))
    bets.restart(np.array([True, False]))
    bets.settle(np.array([1.0, 1.0]))
    bets.settle(np.array([1.0, 1.0]))
    assert bets.wealth.tolist() == [winnings(np.ones(2)), winnings(np.array([1, 1, 0.5, 1, 1]))]
