"""Figures against values worked out by hand."""

import numpy as np
import pytest

from graft.evaluation.metrics import HIGHER_IS_BETTER, evaluate, expected_calibration_error
from graft.networks.temperature import softmax

CLASSES = ["cat", "dog", "eel"]
# Actual: cat cat cat dog dog eel; predicted: cat cat dog dog cat eel.
LABELS = np.array([0, 0, 0, 1, 1, 2])
PROBABILITIES = np.array(
    [[0.8, 0.1, 0.1], [0.5, 0.25, 0.25], [0.2, 0.6, 0.2], [0.1, 0.8, 0.1], [0.5, 0.4, 0.1], [0.25, 0.25, 0.5]]
)


def test_figures_are_those_worked_out_by_hand() -> None:
    found = evaluate(LABELS, PROBABILITIES, CLASSES)
    assert found.confusion.tolist() == [[2, 1, 0], [1, 1, 0], [0, 0, 1]]
    assert found.accuracy == pytest.approx(4 / 6)
    # F1: cat 2*2/(3+3), dog 2*1/(2+2), eel 1.
    assert found.macro_f1 == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    assert found.log_loss == pytest.approx(-np.log([0.8, 0.5, 0.2, 0.8, 0.4, 0.5]).mean())
    cat = {"precision": pytest.approx(2 / 3), "recall": pytest.approx(2 / 3), "f1": pytest.approx(2 / 3), "support": 3}
    assert found.per_class["cat"] == cat
    assert found.per_class["dog"]["precision"] == found.per_class["dog"]["recall"] == 0.5
    assert list(found.per_class) == CLASSES


@pytest.mark.parametrize("seed", range(5))
def test_figures_are_those_of_scikit_learn(seed: int) -> None:
    from sklearn import metrics

    random = np.random.default_rng(seed)
    classes = int(random.integers(2, 9))
    # The last class has no image in some draws, and another is never predicted.
    labels = random.integers(0, classes - seed % 2, 200)
    probabilities = random.dirichlet(np.full(classes, 0.3), 200)
    probabilities[:, 0] = 0
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    found = evaluate(labels, probabilities, [f"class {number}" for number in range(classes)])
    indices, predicted = list(range(classes)), probabilities.argmax(axis=1)
    expected = metrics.precision_recall_fscore_support(labels, predicted, labels=indices, zero_division=0)
    per_class = [list(figures.values()) for figures in found.per_class.values()]
    np.testing.assert_allclose(per_class, np.transpose(expected))
    assert found.accuracy == pytest.approx(metrics.accuracy_score(labels, predicted))
    assert found.macro_f1 == pytest.approx(metrics.f1_score(labels, predicted, average="macro"))
    assert found.log_loss == pytest.approx(metrics.log_loss(labels, probabilities, labels=indices))
    np.testing.assert_array_equal(found.confusion, metrics.confusion_matrix(labels, predicted, labels=indices))


@pytest.mark.parametrize("seed", range(20))
def test_c9_macro_f1_is_scikit_learns_whatever_classes_the_split_lacks(seed: int) -> None:
    from sklearn.metrics import f1_score

    random = np.random.default_rng(seed)
    classes = int(random.integers(3, 30))
    there = random.choice(classes, int(random.integers(1, classes)), replace=False)
    taken_for = random.choice(classes, int(random.integers(1, classes)), replace=False)
    labels, predicted = random.choice(there, 40), random.choice(taken_for, 40)
    probabilities = np.full((40, classes), 0.1 / classes)
    probabilities[np.arange(40), predicted] += 0.9
    found = evaluate(labels, probabilities, [str(number) for number in range(classes)])
    assert found.macro_f1 == pytest.approx(f1_score(labels, predicted, average="macro", zero_division=0))


def test_the_headline_holds_what_strategies_are_compared_by() -> None:
    found = evaluate(LABELS, PROBABILITIES, CLASSES)
    assert set(found.headline()) == set(HIGHER_IS_BETTER)


def test_a_class_without_images_has_no_recall_and_is_in_the_matrix() -> None:
    found = evaluate(LABELS[:5], PROBABILITIES[:5], CLASSES)
    assert found.per_class["eel"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0}
    assert found.confusion.shape == (3, 3)
    assert found.macro_f1 == pytest.approx((2 / 3 + 1 / 2) / 2)  # nor is anything taken for it


def test_a_class_that_is_never_predicted_has_no_precision() -> None:
    found = evaluate(np.array([0, 1]), np.array([[0.9, 0.1, 0.0], [0.9, 0.1, 0.0]]), CLASSES)
    assert found.per_class["dog"]["precision"] == 0
    assert found.per_class["dog"]["support"] == 1


def test_float32_probabilities_are_taken_for_what_they_are() -> None:
    single = evaluate(LABELS, PROBABILITIES.astype(np.float32), CLASSES)
    assert single.log_loss == pytest.approx(evaluate(LABELS, PROBABILITIES, CLASSES).log_loss, rel=1e-6)


def test_a_certain_error_costs_much_but_not_infinitely() -> None:
    found = evaluate(np.array([0]), np.array([[0.0, 1.0, 0.0]]), CLASSES)
    assert 30 < found.log_loss < 50


def test_probabilities_are_not_changed_on_the_way() -> None:
    before = PROBABILITIES.copy()
    evaluate(LABELS, before, CLASSES)
    np.testing.assert_array_equal(before, PROBABILITIES)


def test_softmax_by_hand_and_without_overflow() -> None:
    np.testing.assert_allclose(softmax(np.log([[1.0, 2.0, 5.0]])), [[1 / 8, 2 / 8, 5 / 8]])
    np.testing.assert_allclose(softmax(np.array([[1e4, 0.0]], np.float32)), [[1.0, 0.0]])
    assert softmax(np.zeros((2, 3), np.float32)).dtype == np.float64


def test_calibration_error_by_hand() -> None:
    # Confidences 0.8 0.5 0.6 0.8 0.5 0.5, right: 1 1 0 1 0 1. In five bins (0.4, 0.6], (0.6, 0.8]:
    # |1 + 0 + 0 + 1 - (0.5 + 0.6 + 0.5 + 0.5)| = 0.1 and |2 - 1.6| = 0.4, of six images.
    assert expected_calibration_error(LABELS, PROBABILITIES, bins=5) == pytest.approx((0.1 + 0.4) / 6)


@pytest.mark.parametrize(
    ("confidence", "right", "error"), [(1.0, 10, 0.0), (1.0, 0, 1.0), (0.9, 9, 0.0), (0.9, 5, 0.4), (0.6, 10, 0.4)]
)
def test_calibration_error_is_the_gap_between_what_is_said_and_what_comes_true(
    confidence: float, right: int, error: float
) -> None:
    probabilities = np.tile([confidence, 1 - confidence], (10, 1))
    labels = np.array([0] * right + [1] * (10 - right))
    assert expected_calibration_error(labels, probabilities) == pytest.approx(error)


def test_a_probability_on_the_border_of_two_bins_counts_in_the_lower() -> None:
    # In two bins 0.5 belongs to (0, 0.5]: alone there and right, its gap is 0.5. Together they would be off by 0.2.
    probabilities = np.array([[0.5, 0.25, 0.25], [0.9, 0.1, 0.0]])
    assert expected_calibration_error(np.array([0, 1]), probabilities, bins=2) == pytest.approx((0.5 + 0.9) / 2)
