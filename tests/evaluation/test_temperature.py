"""The temperature: found where it is known, sane where every image is right, and never one that makes things worse."""

import numpy as np
import pytest

from graft.evaluation.calibration import calibrate, out_of_fold
from graft.evaluation.folds import FOLDS, held_out_folds
from graft.evaluation.metrics import log_loss_of
from graft.networks import temperature as module
from graft.networks.temperature import fit_temperature, softmax


def drawn(count: int, overconfidence: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels drawn from ``softmax(z)``, the logits ``overconfidence * z``, and names of the images."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 2, (count, 4))
    labels = np.array([random.choice(4, p=row) for row in softmax(logits)])
    return labels, overconfidence * logits, np.arange(count).astype(str)


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_the_temperature_is_by_how_much_logits_are_too_large(factor: float) -> None:
    labels, logits, _ = drawn(20_000, factor)
    assert fit_temperature(labels, logits) == pytest.approx(factor, rel=0.03)


def test_it_is_the_least_of_its_loss() -> None:
    labels, logits, _ = drawn(200, 2.0)
    fitted = fit_temperature(labels, logits)
    wrong = 1 / 202
    targets = np.full(logits.shape, wrong / 3)
    targets[np.arange(200), labels] = 1 - wrong

    def loss(temperature: float) -> float:
        return float(-(targets * np.log(softmax(logits / temperature))).sum(axis=1).mean())

    assert all(loss(fitted) <= loss(fitted * factor) for factor in (0.9, 0.99, 1.01, 1.1))


@pytest.mark.parametrize("count", [10, 100, 1000])
def test_images_that_are_all_right_make_no_answer_certain(count: int) -> None:
    labels = np.arange(count) % 3
    logits = 5 * np.eye(3)[labels] + np.random.default_rng(0).normal(0, 0.1, (count, 3))
    doubt = 1 - softmax(logits / fit_temperature(labels, logits)).max(axis=1)
    # By the rule of succession, one more image is wrong with this probability.
    assert doubt.mean() == pytest.approx(1 / (count + 2), rel=0.2)


def test_images_of_few_groups_leave_as_much_doubt_as_few_images() -> None:
    """All right in 20 hands of 50 frames: the next hand is wrong with 1 / 22, not with 1 / 1002."""
    labels = np.arange(1000) % 3
    logits = 5 * np.eye(3)[labels] + np.random.default_rng(0).normal(0, 0.1, (1000, 3))
    hands = np.repeat(np.arange(20), 50)
    doubt = 1 - softmax(logits / fit_temperature(labels, logits, hands)).max(axis=1)
    assert doubt.mean() == pytest.approx(1 / 22, rel=0.2)
    # Sharper than the logits themselves are, they are all the same: those of the hands left out agree.
    assert calibrate(labels, logits, hands).temperature >= calibrate(labels, logits, np.arange(1000)).temperature


def test_logits_are_as_they_come_however_large() -> None:
    labels, logits, images = drawn(100, 1e4)
    assert fit_temperature(labels, logits) == pytest.approx(module.MOST, rel=1e-3)
    assert np.isfinite(calibrate(labels, logits, images).probabilities).all()
    assert fit_temperature(np.zeros(5, int), np.zeros((5, 3))) > 0
    assert fit_temperature(np.zeros(5, int), np.ones((5, 1))) > 0


def test_no_image_has_a_part_in_its_own_temperature() -> None:
    labels, logits, images = drawn(60, 3.0)
    before = out_of_fold(labels, logits, images)
    fold = next(iter(held_out_folds(images)))
    changed = labels.copy()
    changed[fold] = (changed[fold] + 1) % 4
    after = out_of_fold(changed, logits, images)
    np.testing.assert_array_equal(after[fold], before[fold])
    assert not np.allclose(after[~fold], before[~fold])


def test_what_was_calibrated_is_better_on_new_images() -> None:
    labels, logits, images = drawn(300, 3.0)
    made = calibrate(labels, logits, images)
    assert made.temperature == pytest.approx(fit_temperature(labels, logits))
    new_labels, new_logits, _ = drawn(5000, 3.0, seed=1)
    raw = log_loss_of(new_labels, softmax(new_logits))
    calibrated = log_loss_of(new_labels, softmax(new_logits / made.temperature))
    assert calibrated < 0.7 * raw
    # And the figure on validation says by how much, rather than flatters.
    assert log_loss_of(labels, made.probabilities) == pytest.approx(calibrated, rel=0.15)
    np.testing.assert_array_equal(made.probabilities.argmax(axis=1), logits.argmax(axis=1))


def test_a_temperature_that_does_not_help_is_left_at_one() -> None:
    labels = np.arange(50) % 2
    logits = 20 * np.eye(2)[labels]
    made = calibrate(labels, logits, np.arange(50).astype(str))
    assert made.temperature == 1
    np.testing.assert_array_equal(made.probabilities, softmax(logits))


def test_one_image_is_left_as_it_is() -> None:
    made = calibrate(np.array([0]), np.array([[1.0, 0.0]]), np.array(["a"]))
    assert made.temperature == 1


def test_copies_are_in_one_fold_and_every_image_in_one() -> None:
    images = np.array(["a", "b", "a", "c", "b"])
    folds = np.array(list(held_out_folds(images)))
    np.testing.assert_array_equal(folds.sum(axis=0), 1)
    assert (folds[:, 0] == folds[:, 2]).all()
    assert (folds[:, 1] == folds[:, 4]).all()
    assert len(list(held_out_folds(np.arange(1000)))) == FOLDS
