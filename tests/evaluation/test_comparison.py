"""McNemar's test and the paired interval, against values worked out by hand, published and exact ones."""

import numpy as np
import pytest

from graft.evaluation.comparison import compare, mcnemar


def answers(both: int, gained: int, lost: int, neither: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Right or wrong of two classifiers: both right, only the first, only the second, none."""
    candidate = np.repeat([True, True, False, False], [both, gained, lost, neither])
    champion = np.repeat([True, False, True, False], [both, gained, lost, neither])
    return candidate, champion


@pytest.mark.parametrize(
    ("gained", "lost", "p"),
    # Two-sided binomial with p = 1/2: 2 * (1 + 5) / 2^5 ... by hand.
    [(0, 0, 1.0), (1, 0, 1.0), (0, 5, 2 / 32), (1, 5, 2 * 7 / 64), (3, 3, 1.0), (0, 6, 2 / 64), (10, 0, 2 / 1024)],
)
def test_mcnemar_by_hand(gained: int, lost: int, p: float) -> None:
    assert compare(*answers(100, gained, lost), 0.95).mcnemar_p == pytest.approx(p)


@pytest.mark.parametrize(
    ("gained", "lost", "answer"),
    [(0, 0, "not distinguishable"), (0, 5, "not distinguishable"), (0, 6, "worse"), (6, 0, "better")],
)
def test_the_answer_is_that_of_the_test_at_five_percent(gained: int, lost: int, answer: str) -> None:
    assert compare(*answers(100, gained, lost), 0.95).answer == answer


def test_images_that_both_get_right_or_wrong_are_counted_but_tell_nothing_apart() -> None:
    found = compare(*answers(80, 3, 5, 12), 0.95)
    assert (found.images, found.only_candidate_right, found.only_champion_right) == (100, 3, 5)
    assert found.difference == pytest.approx(-0.02)


def test_the_order_of_the_images_does_not_matter() -> None:
    candidate, champion = answers(80, 3, 5, 12)
    order = np.random.default_rng(0).permutation(100)
    assert compare(candidate[order], champion[order], 0.95) == compare(candidate, champion, 0.95)


def test_mcnemars_exact_test_on_a_published_table() -> None:
    """Approval of the Prime Minister in two surveys of 1,600 (A. Agresti, Categorical Data Analysis, 1990, table 10.1).

    86 changed to approval, 150 to disapproval; the chi-squared statistic is 17.36, and far below 0.001 either way. The
    exact value is twice the sum of binomial coefficients up to 86 of 236 over 2^236.
    """
    from math import comb

    exact = 2 * sum(comb(236, lost) for lost in range(87)) / 2**236
    assert mcnemar(86, 150) == mcnemar(150, 86) == pytest.approx(exact, rel=1e-9)
    assert exact == pytest.approx(3.7e-5, rel=0.01)
    found = compare(*answers(794, 150, 86, 570), 0.95)
    assert found.answer == "better"
    # Of the same table Agresti gives -0.04 +- 1.96 * 0.0095 for the difference of the two shares.
    assert (found.low, found.high) == pytest.approx((0.0213, 0.0587), abs=5e-4)


def test_a_score_interval_has_a_width_where_nothing_tells_them_apart() -> None:
    found = compare(*answers(20, 0, 0), 0.95)
    assert (found.difference, found.mcnemar_p, found.answer) == (0, 1, "not distinguishable")
    assert found.low < found.lower < 0 < found.high


def test_errors_that_come_in_groups_tell_less() -> None:
    """Ten errors on ten photographs, or on ten frames of one film of forty."""
    candidate, champion = answers(390, 0, 10)
    assert compare(candidate, champion, 0.95).answer == "worse"
    films = compare(candidate, champion, 0.95, np.arange(400) // 10)
    assert (films.groups, films.images) == (40, 400)
    assert films.answer == "not distinguishable"
    assert films.low < -0.1
    assert "of 400 images in 40 groups 0 only the candidate" in films.as_text()


def test_more_confidence_and_fewer_images_make_the_worst_worse() -> None:
    lower = [compare(*answers(95, 2, 3), confidence).lower for confidence in (0.6, 0.9, 0.99)]
    assert lower == sorted(lower, reverse=True)
    assert lower[0] > lower[2]
    assert compare(*answers(950, 20, 30), 0.95).lower > compare(*answers(95, 2, 3), 0.95).lower


def test_the_interval_covers_as_often_as_it_says() -> None:
    """Draws of 200 images from known rates: the true difference lies above the lower end 19 times in 20, or so."""
    random = np.random.default_rng(1)
    rates = [0.85, 0.05, 0.07, 0.03]
    above = 0
    for _ in range(100):
        counts = random.multinomial(200, rates)
        above += compare(*answers(*counts), 0.95).lower <= rates[1] - rates[2]
    # Of 100 draws at 0.95 fewer than 88 or all 100 would be less likely than one in a hundred.
    assert 88 <= above < 100


def test_equal_answers_give_an_equal_comparison() -> None:
    assert compare(*answers(90, 4, 6), 0.95) == compare(*answers(90, 4, 6), 0.95)


def test_it_reads_as_a_sentence() -> None:
    text = compare(*answers(90, 4, 6), 0.95).as_text()
    assert text.startswith("-2.00 points, at worst -")
    assert "of 100 images 4 only the candidate gets right, 6 only the champion" in text
    assert text.endswith(": not distinguishable")
