"""What is answered for probabilities and distances, and the limits that follow from known images."""

import math
from pathlib import Path

import numpy as np
import pytest

from graft.bundle.decisions import (
    Decisions,
    Known,
    decide,
    distances,
    enough,
    label_names,
    label_sets,
    limits,
    thresholds,
    unit,
)

CLASSES = ["ant", "bee", "fly"]


def known(count: int = 999, seed: int = 0) -> Known:
    random = np.random.default_rng(seed)
    logits = random.normal(size=(count, 3))
    labels = random.integers(0, 3, count)
    logits[np.arange(count), labels] += 2
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return Known(labels, probabilities, random.random(count).astype(np.float32))


@pytest.mark.parametrize("share", [0.01, 0.05, 0.2])
def test_no_more_than_the_stated_share_of_new_known_images_is_refused(share: float) -> None:
    refused = []
    for seed in range(20):
        some, others = known(200, seed), known(2000, 1000 + seed)
        decisions = Decisions.of({"limits": limits(some, share)}, CLASSES)
        refused.append((decisions.indices(others.probabilities, others.distances) < 0).mean())
    assert share / 2 < np.mean(refused) <= share


def test_far_and_uncertain_images_share_what_may_be_refused() -> None:
    some = known()
    found = limits(some, 0.05)
    far, doubtful = some.distances > found["distance"], some.probabilities.max(axis=1) < found["probability"]
    assert far.sum() == doubtful.sum() > 20
    assert (far | doubtful).sum() <= 49  # of 999, and the next one


def test_too_few_images_refuse_none_and_those_without_distance_count_not() -> None:
    assert limits(known(10), 0.05) == {"distance": math.inf, "probability": 0.0}
    some = known(400)
    some.distances[:200] = np.nan  # the network was trained on these
    half = limits(Known(some.labels[200:], some.probabilities[200:], some.distances[200:]), 0.1)
    assert limits(some, 0.1) == pytest.approx(half)


def test_without_features_uncertainty_alone_decides() -> None:
    some = known(100)
    found = decide(Known(some.labels, some.probabilities, np.full(100, np.nan)), CLASSES, {"unknown": 0.1})
    assert list(found["limits"]) == ["probability"]
    answers = Decisions.of(found, CLASSES).indices(some.probabilities, np.full(100, np.nan))
    assert (answers < 0).sum() == 9


def test_distances_are_to_the_nearest_training_image_whatever_their_length() -> None:
    training = np.array([[1.0, 0.0], [0.0, 2.0]])
    found = distances(np.array([[5.0, 0.0], [0.0, 0.1], [3.0, 3.0], [-1.0, 0.0]]), unit(training))
    np.testing.assert_allclose(found, [0, 0, 1 - math.sqrt(0.5), 1], atol=1e-6)


def test_a_wanted_precision_is_reached_on_known_images_and_the_next_best_class_answers_below() -> None:
    some = known(3000)
    found = decide(some, CLASSES, {"precision": {"bee": 0.95}})
    decisions = Decisions.of(found, CLASSES)
    answers = decisions.indices(some.probabilities, some.distances)
    plain = some.probabilities.argmax(axis=1)
    assert (some.labels[plain == 1] == 1).mean() < 0.9
    assert (some.labels[answers == 1] == 1).mean() >= 0.95
    assert (answers == 1).sum() > 300
    changed = (plain == 1) & (answers != 1)
    assert changed.any()
    assert set(answers[changed]) <= {0, 2}


def test_a_precision_that_nothing_reaches_is_never_answered() -> None:
    some = Known(np.zeros(50, int), np.tile([0.2, 0.5, 0.3], (50, 1)), np.zeros(50))
    assert thresholds(some, CLASSES, {"bee": 0.9}) == {"bee": 1.0}


def test_where_no_class_may_be_answered_it_is_unknown() -> None:
    decisions = Decisions.of({"thresholds": dict.fromkeys(CLASSES, 0.9)}, CLASSES)
    found = decisions.indices(np.array([[0.5, 0.3, 0.2], [0.95, 0.03, 0.02]]), np.zeros(2))
    assert label_names(CLASSES, found) == ["unknown", "ant"]


def test_costs_move_answers_to_where_mistakes_are_cheap() -> None:
    decisions = Decisions.of({"costs": {"ant": {"bee": 5}}}, CLASSES)
    found = decisions.indices(np.array([[0.3, 0.6, 0.1], [0.05, 0.9, 0.05]]), np.full(2, np.nan))
    assert found.tolist() == [0, 1]  # expected costs of the first: 0.7 for ant, 1.6 for bee


@pytest.mark.parametrize("coverage", [0.9, 0.95])
def test_sets_hold_the_right_class_as_often_as_stated(coverage: float) -> None:
    held = []
    for seed in range(20):
        others = known(2000, 500 + seed)
        sets = label_sets(known(200, seed), others.probabilities, coverage)
        held.append(sets[np.arange(2000), others.labels].mean())
        assert sets.any(axis=1).all()
    assert coverage - 0.005 < np.mean(held) < coverage + 0.03


def test_the_evidence_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert Known.read(tmp_path) is None
    some = known(30)
    some.write(tmp_path)
    found = Known.read(tmp_path)
    assert found is not None
    np.testing.assert_array_equal(found.labels, some.labels)
    np.testing.assert_allclose(found.probabilities, some.probabilities, atol=1e-7)
    np.testing.assert_array_equal(found.distances, some.distances)


def test_of_very_many_known_images_a_spread_sample_is_enough() -> None:
    assert enough(3).tolist() == [0, 1, 2]
    assert len(enough(0)) == 0
    some = enough(50_001)
    assert (len(some), some[0], some[-1]) == (5000, 0, 50_000)
