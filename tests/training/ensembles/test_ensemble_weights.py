"""Weights of mixtures whose best weights are known, and figures on images that had no part in them."""

import numpy as np
import pytest
from scipy.optimize import minimize

from graft.evaluation.folds import FOLDS
from graft.training.ensembles.member_weights import equal_weights, fit_weights, mix, out_of_fold

CLASSES = 3


def answers(seed: int, images: int, sharpness: float = 2.0) -> np.ndarray:
    """Probabilities ``[N, C]`` as of a network that knows nothing of the labels."""
    raw = np.exp(sharpness * np.random.default_rng(seed).normal(size=(images, CLASSES)))
    return raw / raw.sum(axis=1, keepdims=True)


def drawn_from(probabilities: np.ndarray, seed: int = 9) -> np.ndarray:
    """A label for each row, drawn with its probabilities."""
    chance = np.random.default_rng(seed).random((len(probabilities), 1))
    return (chance > probabilities.cumsum(axis=1)).sum(axis=1).clip(max=CLASSES - 1)


def loss(weights: np.ndarray, labels: np.ndarray, probabilities: np.ndarray) -> float:
    return float(-np.log(mix(weights, probabilities)[np.arange(len(labels)), labels]).mean())


@pytest.mark.parametrize("true", [[0.7, 0.3], [0.5, 0.2, 0.3]])
def test_a_known_mixture_is_recovered(true: list[float]) -> None:
    probabilities = np.stack([answers(seed, 20_000) for seed in range(len(true))])
    labels = drawn_from(mix(np.array(true), probabilities))
    np.testing.assert_allclose(fit_weights(labels, probabilities), true, atol=0.03)


def test_no_other_weights_have_less_loss() -> None:
    probabilities = np.stack([answers(seed, 300) for seed in range(4)])
    labels = drawn_from(mix(np.array([0.4, 0.3, 0.2, 0.1]), probabilities))
    fitted = fit_weights(labels, probabilities)
    assert fitted.sum() == pytest.approx(1)
    assert fitted.min() >= 0
    # Another method, from another start.
    other = minimize(
        loss,
        [0.1, 0.2, 0.3, 0.4],
        args=(labels, probabilities),
        method="SLSQP",
        bounds=[(0, 1)] * 4,
        constraints={"type": "eq", "fun": lambda weights: weights.sum() - 1},
        options={"ftol": 1e-12, "maxiter": 500},
    )
    assert loss(fitted, labels, probabilities) <= other.fun + 1e-5


def test_a_member_that_only_harms_is_left_out() -> None:
    good = answers(1, 500)
    labels = drawn_from(good)
    wrong = np.roll(np.eye(CLASSES)[labels], 1, axis=1) * 0.9 + 0.1 / CLASSES
    weights = fit_weights(labels, np.stack([wrong, good]))
    assert weights.tolist() == [0, 1]


def test_members_that_answer_alike_count_alike() -> None:
    good = answers(1, 50)
    labels = drawn_from(good)
    np.testing.assert_allclose(fit_weights(labels, np.stack([good] * 3)), equal_weights(3))


def test_answers_of_zero_cost_much_but_not_everything() -> None:
    labels = np.array([0, 1, 2, 0])
    sure = np.eye(CLASSES)[[0, 1, 2, 1]]  # wrong about the last, with certainty
    weights = fit_weights(labels, np.stack([sure, np.full((4, CLASSES), 1 / CLASSES)]))
    # Three images of (w + (1 - w) / 3) and one of (1 - w) / 3: best at w = 5 / 8.
    np.testing.assert_allclose(weights, [0.625, 0.375], atol=1e-3)
    both_wrong = fit_weights(labels, np.stack([sure, sure]))
    np.testing.assert_allclose(both_wrong, [0.5, 0.5])


def test_an_image_has_no_part_in_its_own_weights() -> None:
    probabilities = np.stack([answers(seed, 60) for seed in range(2)])
    labels = drawn_from(mix(np.array([0.5, 0.5]), probabilities))
    images = np.array([f"{number:03d}" for number in range(60)])
    before = out_of_fold(labels, probabilities, images)
    relabelled = labels.copy()
    relabelled[7] = (relabelled[7] + 1) % CLASSES
    after = out_of_fold(relabelled, probabilities, images)
    same_fold = np.arange(60) % FOLDS == 7
    np.testing.assert_array_equal(before[same_fold], after[same_fold])
    assert (before[~same_fold] != after[~same_fold]).any()
    np.testing.assert_allclose(after.sum(axis=1), 1)


def test_copies_are_left_out_together_in_any_order() -> None:
    probabilities = np.stack([answers(seed, 40) for seed in range(2)])
    labels = drawn_from(mix(np.array([0.6, 0.4]), probabilities))
    images = np.array([f"{number // 2:03d}" for number in range(40)])
    before = out_of_fold(labels, probabilities, images)
    relabelled = labels.copy()
    relabelled[0] = (relabelled[0] + 1) % CLASSES
    # Image 1 is a copy of image 0.
    np.testing.assert_array_equal(out_of_fold(relabelled, probabilities, images)[1], before[1])
    order = np.random.default_rng(3).permutation(40)
    shuffled = out_of_fold(labels[order], probabilities[:, order], images[order])
    np.testing.assert_allclose(shuffled, before[order], atol=1e-5)


def test_figures_out_of_fold_are_not_flattered() -> None:
    """Of members that know nothing, fitted weights look better than they are; out of fold they do not."""
    flattery, honest = [], []
    for seed in range(8):
        probabilities = np.stack([answers(100 * seed + member, 40, 0.5) for member in range(8)])
        labels = np.random.default_rng(seed).integers(0, CLASSES, 40)
        images = np.array([f"{number:03d}" for number in range(40)])
        weights = fit_weights(labels, probabilities)
        # Each class is as likely as any other, whatever the members say.
        truth = -np.log(mix(weights, probabilities)).mean()
        flattery.append(loss(weights, labels, probabilities) - truth)
        mixture = out_of_fold(labels, probabilities, images)
        honest.append(-np.log(mixture[np.arange(40), labels]).mean() - truth)
    assert np.mean(flattery) < -0.04
    assert abs(np.mean(honest)) < 0.02


def test_a_single_image_is_answered_by_equal_weights() -> None:
    probabilities = np.stack([answers(seed, 1) for seed in range(2)])
    mixture = out_of_fold(np.array([0]), probabilities, np.array(["a"]))
    np.testing.assert_allclose(mixture, probabilities.mean(axis=0))
