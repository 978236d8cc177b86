"""What is selected among measured candidates, and how sure a difference is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.analysis.choose.choose import draw
from graft.analysis.choose.measure import Measured, calibrated
from graft.analysis.choose.plan import Candidate
from graft.analysis.choose.select import select
from graft.core.paired import difference
from graft.core.params.backbone_params import KerasBackboneParams

BACKBONE = KerasBackboneParams(source="keras", name="MobileNetV2")
COUNT = 400
LABELS = np.arange(COUNT) % 2
ALONE = np.arange(COUNT)


def measured(size: int, right: np.ndarray) -> Measured:
    """A candidate by the probability that it gives the right class of each image."""
    probabilities = np.empty((COUNT, 2))
    probabilities[ALONE, LABELS] = right
    probabilities[ALONE, 1 - LABELS] = 1 - right
    return Measured(Candidate(BACKBONE, size), probabilities, -np.log(right), right > 0.5, 0.1, 1.0)


def test_a_dearer_one_that_is_no_better_beyond_its_error_is_not_taken() -> None:
    draws = np.random.default_rng(0)
    cheap = measured(96, draws.uniform(0.3, 0.9, COUNT))
    same = measured(224, np.clip(cheap.probabilities[ALONE, LABELS] + draws.normal(0, 0.05, COUNT), 0.05, 0.95))
    found = difference(same.losses, cheap.losses, ALONE)
    assert not found.is_sure
    assert select([same, cheap], LABELS, ALONE, 1).weights == {1: 1.0}


def test_a_dearer_one_that_is_better_beyond_its_error_is_taken_and_said() -> None:
    draws = np.random.default_rng(0)
    cheap = measured(96, draws.uniform(0.3, 0.9, COUNT))
    better = measured(224, np.minimum(cheap.probabilities[ALONE, LABELS] + 0.08, 0.99))
    found = select([cheap, better], LABELS, ALONE, 1)
    assert found.weights == {1: 1.0}
    assert found.log_loss == pytest.approx(better.log_loss)
    assert "MobileNetV2 224 px is better than MobileNetV2 96 px" in found.steps[0]


def test_two_that_err_elsewhere_are_better_together() -> None:
    half = np.where(ALONE < COUNT // 2, 0.9, 0.4)
    first, second = measured(96, half), measured(128, half[::-1].copy())
    found = select([first, second], LABELS, ALONE, 3)
    assert found.weights == {0: 0.5, 1: 0.5}
    assert found.log_loss < min(first.log_loss, second.log_loss)
    assert select([first, second], LABELS, ALONE, 1).weights in ({0: 1.0}, {1: 1.0})


def test_images_of_one_group_count_as_one() -> None:
    """Frames of few films differ together: what is sure image by image is not sure film by film."""
    gains = np.repeat([0.5, -0.3, 0.4, -0.2], COUNT // 4)
    losses, others = np.ones(COUNT), np.ones(COUNT) + gains
    assert difference(losses, others, ALONE).is_sure
    by_film = difference(losses, others, np.repeat(np.arange(4), COUNT // 4))
    assert by_film.gain == pytest.approx(0.1)
    assert not by_film.is_sure


def test_groups_of_one_image_give_the_usual_standard_error() -> None:
    draws = np.random.default_rng(1)
    losses, others = draws.normal(size=50), draws.normal(size=50)
    expected = np.std(others - losses, ddof=1) / np.sqrt(50)
    assert difference(losses, others, np.arange(50)).error == pytest.approx(expected)


def test_one_group_is_never_sure() -> None:
    assert not difference(np.zeros(9), np.ones(9), np.zeros(9, int)).is_sure


def test_few_groups_do_not_sharpen() -> None:
    """Every image is right; image by image that is much, film by film it is little."""
    logits = np.where(np.eye(2)[LABELS] > 0, 1.0, 0.0)
    surest = [calibrated(logits, LABELS, groups)[ALONE, LABELS].mean() for groups in (ALONE, ALONE // 40)]
    assert surest[0] > 0.99 > 0.93 > surest[1]


@given(seed=st.integers(0, 1000), most=st.integers(20, 300))
def test_a_sample_holds_whole_groups_of_every_class(seed: int, most: int) -> None:
    draws = np.random.default_rng(seed)
    groups = draws.integers(0, 60, 400)
    labels = groups % 3
    rows = draw(labels, groups, most, seed)
    assert set(labels[rows]) == {0, 1, 2}
    assert len(rows) == len(np.unique(rows))
    for group in np.unique(groups[rows]):
        assert (groups[rows] == group).sum() == (groups == group).sum()
    assert rows.tolist() == draw(labels, groups, most, seed).tolist()


def test_a_sample_stays_where_images_come_later() -> None:
    """A retraining with 1 % new images computed the features of a quarter of the sample anew."""
    names = np.array([f"{number:05}" for number in np.random.default_rng(3).permutation(3030)])
    labels = np.arange(3030) % 3
    before = set(names[:3000][draw(labels[:3000], names[:3000], 2000, 7)])
    after = set(names[draw(labels, names, 2000, 7)])
    assert len(after - before) <= 45  # twice the new images' share of it, and what rounding moves


def test_a_sample_of_enough_is_all() -> None:
    assert draw(np.zeros(30, int), np.arange(30), 30, 1).tolist() == list(range(30))
