"""Figures of several models on the same images, and the errors that they have in common."""

import numpy as np
import pytest

from graft.evaluation.line_figures import NOT_ASKED, measure_line
from graft.evaluation.metrics import evaluate

CLASSES = ("a", "b", "c")


def drawn(models: int, images: int, seed: int, share: float = 0.15) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and predictions of models that each err on images of their own, and all on some."""
    chance = np.random.default_rng(seed)
    labels = chance.integers(0, 3, images)
    is_hard = chance.random(images) < 0.1
    is_wrong = is_hard | (chance.random((models, images)) < share)
    return labels, np.where(is_wrong, (labels + 1) % 3, labels)


def test_figures_are_those_of_each_model_alone() -> None:
    labels, predicted = drawn(5, 200, 1)
    of = [evaluate(labels, np.eye(3)[one], CLASSES) for one in predicted]
    groups = np.arange(200)
    assert measure_line(labels, predicted, groups, "accuracy").figures == pytest.approx([one.accuracy for one in of])
    assert measure_line(labels, predicted, groups, "macro_f1").figures == pytest.approx([one.macro_f1 for one in of])


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1"])
@pytest.mark.parametrize("size", [1, 20])
def test_the_error_of_a_difference_is_that_of_many_test_sets(metric: str, size: int) -> None:
    """Of 600 images, or 30 groups of 20 that are right or wrong together."""
    units, groups = 600 // size, np.repeat(np.arange(600 // size), size)
    differences, variances = [], []
    for seed in range(150):
        labels, predicted = (np.repeat(one, size, axis=-1) for one in drawn(3, units, seed))
        found = measure_line(labels, predicted, groups, metric)  # type: ignore[arg-type]
        differences.append(found.figures[0] - found.figures[1])
        variances.append(found.noise[0, 0] + found.noise[1, 1] - 2 * found.noise[0, 1])
    assert np.mean(variances) == pytest.approx(np.var(differences), rel=0.3)


def test_a_model_that_was_asked_about_half_is_measured_as_if_about_all() -> None:
    """The images that it was not asked about are easier: its figure is not lower for that."""
    labels = np.zeros(400, int)
    predicted = np.zeros((3, 400), int)
    predicted[:, :80] = 1  # the first half is hard
    predicted[2, 200:] = NOT_ASKED
    assert measure_line(labels, predicted, np.arange(400), "accuracy").figures == pytest.approx([0.8, 0.8, 0.8])


def test_equal_predictions_differ_by_little_and_one_unit_says_nothing() -> None:
    labels, predicted = drawn(2, 300, 3)
    predicted[1] = predicted[0]
    found = measure_line(labels, predicted, np.arange(300), "accuracy").noise
    assert 0 < found[0, 0] + found[1, 1] - 2 * found[0, 1] < 0.004**2
    together = measure_line(labels, predicted, np.zeros(300), "accuracy").noise
    assert together[0, 0] >= 0.25


def test_images_that_only_some_were_asked_about_tell_these_apart() -> None:
    """The first two differ by 20 of 100 later images; what the third is right on stays what it is on the 200."""
    labels = np.zeros(300, int)
    predicted = np.zeros((3, 300), int)
    predicted[:, :40] = 1
    predicted[0, 200:220] = 1
    predicted[2, 200:] = NOT_ASKED
    of = np.arange(300) < 200
    found = measure_line(labels, predicted, np.arange(300), "accuracy", of)
    alone = measure_line(labels[:200], predicted[:, :200], np.arange(200), "accuracy")
    assert alone.figures == pytest.approx([0.8, 0.8, 0.8])
    assert found.figures[1] - found.figures[0] == pytest.approx(20 / 300)
    assert found.figures.mean() == pytest.approx(0.8)
    assert found.figures[2] == pytest.approx(0.8)
