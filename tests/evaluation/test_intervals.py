"""Intervals of shares and of paired differences: against other computations, and their coverage by exact sums."""

import numpy as np
import pytest
from scipy.optimize import brentq, minimize_scalar
from scipy.stats import binom, binomtest, multinomial

from graft.evaluation.intervals import paired_interval, quantile_for, share_interval, tango, wilson


@pytest.mark.parametrize(("right", "count"), [(0, 1), (1, 1), (297, 297), (285, 297), (3, 40)])
@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
def test_a_share_has_wilsons_interval_as_scipy_computes_it(right: int, count: int, confidence: float) -> None:
    expected = binomtest(right, count).proportion_ci(confidence, "wilson")
    found = share_interval(np.arange(count) < right, confidence=confidence)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_all_of_297_images_right_is_no_certainty() -> None:
    found = share_interval(np.ones(297, bool))
    assert found.low == pytest.approx(0.987, abs=5e-4)
    assert found.high == 1.0


@pytest.mark.parametrize("count", [100, 300, 1000])
def test_wilsons_interval_covers_as_often_as_it_says_by_the_exact_sum(count: int) -> None:
    outcomes = np.arange(count + 1)
    ends = [wilson(right / count, count, quantile_for(0.95)) for right in outcomes]
    shares = np.linspace(0.8, 0.995, 40)
    coverage = [
        binom(count, share).pmf(outcomes)[[interval.low <= share <= interval.high for interval in ends]].sum()
        for share in shares
    ]
    assert np.mean(coverage) == pytest.approx(0.95, abs=0.012)


def by_likelihood(gained: int, lost: int, count: int, quantile: float) -> tuple[float, float]:
    """Tango's interval by a search for the likelihood's maximum at each difference instead of its closed form."""

    def statistic(difference: float) -> float:
        least, most = max(0.0, -difference), (1 - difference) / 2

        def minus_log_likelihood(only_other: float) -> float:
            shares = np.array([only_other + difference, only_other, 1 - 2 * only_other - difference])
            counts = np.array([gained, lost, count - gained - lost])
            return -float(np.sum(counts * np.log(np.clip(shares, 1e-300, 1)), where=counts > 0))

        best = minimize_scalar(minus_log_likelihood, bounds=(least, most), method="bounded", options={"xatol": 1e-12})
        variance = count * (2 * best.x + difference - difference**2)
        return (gained - lost - count * difference) / np.sqrt(max(variance, 1e-300))

    estimate = (gained - lost) / count
    low = brentq(lambda one: statistic(one) - quantile, -1 + 1e-9, estimate - 1e-9)
    high = brentq(lambda one: statistic(one) + quantile, estimate + 1e-9, 1 - 1e-9)
    return low, high


@pytest.mark.parametrize(("gained", "lost", "count"), [(0, 0, 50), (0, 3, 100), (7, 2, 44), (40, 20, 160), (9, 0, 300)])
def test_tangos_interval_is_where_the_score_statistic_is_the_quantile(gained: int, lost: int, count: int) -> None:
    low, high = tango(np.array([float(gained)]), np.array([float(lost)]), count, 1.96)
    assert (low[0], high[0]) == pytest.approx(by_likelihood(gained, lost, count, 1.96), abs=2e-5)


def test_turning_the_two_around_turns_the_interval_around() -> None:
    one, other = np.repeat([True, False, True], [30, 4, 66]), np.repeat([True, False, True], [25, 9, 66])
    there, back = paired_interval(one, other), paired_interval(other, one)
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))


@pytest.mark.parametrize("images", [100, 300, 1000])
@pytest.mark.parametrize("disagreement", [0.02, 0.04, 0.08])
def test_a_loss_of_two_points_passes_for_less_in_at_most_six_percent_by_the_exact_sum(
    images: int, disagreement: float
) -> None:
    """One end at 95 %: the lower end is above the true difference in at most 1.2 times 5 % of cases."""
    gained_share, lost_share = (disagreement - 0.02) / 2, (disagreement + 0.02) / 2
    most = int(binom(images, disagreement).ppf(1 - 1e-9)) + 1
    gained, lost = (grid.ravel().astype(float) for grid in np.mgrid[: most + 1, : most + 1])
    low, _ = tango(gained, lost, images, quantile_for(0.9, images))  # as paired_interval does
    counts = np.stack([gained, lost, images - gained - lost], axis=1)
    possible = counts[:, 2] >= 0
    chances = multinomial(images, [gained_share, lost_share, 1 - disagreement]).pmf(counts[possible])
    assert chances.sum() == pytest.approx(1, abs=1e-6)
    assert chances[low[possible] > -0.02].sum() <= 0.06


def test_frames_of_twelve_hands_do_not_count_as_independent() -> None:
    """372 frames of 12 hands that differ by 10 points, a true loss of 2: 22 % pass where frames count by themselves."""
    generator, loss, trials = np.random.default_rng(0), 0.02, 500
    hands = np.repeat(np.arange(12), 31)
    passed = {"hands": 0, "frames": 0}
    for _ in range(trials):
        differences = np.clip(generator.normal(-loss, 0.1, 12), -0.9, 0.9)
        disagreement = np.maximum(0.04, np.abs(differences))
        chance = generator.random(len(hands))
        is_gain = chance < ((disagreement + differences) / 2)[hands]
        is_loss = ~is_gain & (chance < disagreement[hands])
        passed["hands"] += paired_interval(~is_loss, ~is_gain, hands, 0.9).low > -loss
        passed["frames"] += paired_interval(~is_loss, ~is_gain, None, 0.9).low > -loss
    assert passed["hands"] / trials <= 0.06
    assert passed["frames"] / trials > 0.15


@pytest.mark.parametrize(("groups", "share", "within"), [(12, 0.8, 0.1), (30, 0.95, 0.05), (100, 0.9, 0.3)])
def test_a_share_over_groups_covers_by_simulation(groups: int, share: float, within: float) -> None:
    """The groups' own shares are drawn from a beta distribution with that correlation of images of one group."""
    generator, size, trials = np.random.default_rng(1), 20, 600
    prior = 1 / within - 1
    names = np.repeat(np.arange(groups), size)
    covered = 0
    for _ in range(trials):
        own = generator.beta(share * prior, (1 - share) * prior, groups)
        covered += share in share_interval(generator.random(groups * size) < own[names], names)
    assert covered / trials >= 0.93


def test_without_one_error_images_of_few_groups_say_little() -> None:
    twelve = np.repeat(np.arange(12), 31)
    assert share_interval(np.ones(372, bool), twelve).low < 0.75
    assert share_interval(np.ones(372, bool)).low > 0.98


def test_groups_of_one_image_each_are_none() -> None:
    is_right = np.arange(50) % 7 != 0
    assert share_interval(is_right, np.arange(50)) == share_interval(is_right)


def test_of_one_group_nothing_is_sure() -> None:
    found = share_interval(np.ones(300, bool), np.zeros(300))
    assert found.low < 0.25
