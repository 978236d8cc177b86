"""The exact head: it is the solution, whichever way it is computed, and its folds are honest."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from graft.networks import exact_head, logistic_solver, principal_axes
from graft.networks.exact_head import PENALTIES, cross_validate, fit_exact_head
from graft.networks.grouped_folds import grouped_folds

Images = tuple[np.ndarray, np.ndarray]


def clouds(count: int, width: int, classes: int, spread: float = 1.0, seed: int = 0) -> Images:
    """Features around one centre a class, float32 ``[N, D]``, and labels; every class is there."""
    generator = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    features = generator.normal(size=(classes, width))[labels] + spread * generator.normal(size=(count, width))
    return (3 + features * generator.uniform(0.1, 5, width)).astype(np.float32), labels


def softmax(logits: np.ndarray) -> np.ndarray:
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))


@pytest.mark.parametrize(
    ("count", "width", "classes", "penalty"),
    [(60, 10, 3, 0.01), (40, 100, 4, 0.1), (90, 20, 2, 0.001), (50, 200, 5, 1e-5)],
    ids=["more images", "more features", "two classes", "hardly a penalty"],
)
def test_it_is_what_scikit_learn_comes_to(count: int, width: int, classes: int, penalty: float) -> None:
    features, labels = clouds(count, width, classes, spread=3)
    head = fit_exact_head(features, labels, classes, penalties=[penalty])
    exact = features.astype(np.float64)
    standardised = (exact - exact.mean(axis=0)) / exact.std(axis=0)
    # Of two classes scikit-learn has one column, the difference of ours, and its square is twice that of both.
    inverse = (2 if classes == 2 else 1) / (penalty * count)
    other = LogisticRegression(C=inverse, tol=1e-10, max_iter=10_000)
    expected = other.fit(standardised, labels).predict_proba(standardised)
    np.testing.assert_allclose(softmax(head.logits(features)), expected, atol=1e-4)


def test_it_has_the_least_loss() -> None:
    """The gradient is nothing: by the definition, without the axes."""
    features, labels = clouds(80, 30, 3, spread=2)
    head = fit_exact_head(features, labels, 3, penalties=[0.03])
    scale = features.std(axis=0, dtype=np.float64)
    standardised = (features - features.mean(axis=0, dtype=np.float64)) / scale
    errors = (softmax(head.logits(features)) - np.eye(3)[labels]) / len(labels)
    gradient = standardised.T @ errors + 0.03 * head.kernel * scale[:, None]
    assert np.abs(gradient).max() < 1e-5
    assert np.abs(errors.sum(axis=0)).max() < 1e-5


def test_axes_of_images_and_of_features_come_to_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """The dual of the problem is the primal: a constant feature more changes which of them is taken."""
    features, labels = clouds(40, 40, 3, spread=2)
    by_images = fit_exact_head(features, labels, 3)
    by_features = fit_exact_head(features[:, :39], labels, 3)
    padded = np.concatenate([features[:, :39], np.full((40, 30), 7, np.float32)], axis=1)
    dual = fit_exact_head(padded, labels, 3)
    np.testing.assert_allclose(dual.kernel[:39], by_features.kernel, atol=1e-4)
    assert not dual.kernel[39:].any()
    np.testing.assert_allclose(dual.out_of_fold, by_features.out_of_fold, atol=1e-3)
    assert by_images.kernel.shape == (40, 3)


def test_weights_are_repetitions() -> None:
    features, labels = clouds(60, 12, 3, spread=2)
    counts = np.random.default_rng(1).integers(1, 4, 60)
    groups = np.arange(60)
    weighted = fit_exact_head(features, labels, 3, groups=groups, weights=counts, penalties=[0.01])
    repeated = fit_exact_head(
        np.repeat(features, counts, axis=0),
        np.repeat(labels, counts),
        3,
        groups=np.repeat(groups, counts),
        penalties=[0.01],
    )
    np.testing.assert_allclose(weighted.logits(features), repeated.logits(features), atol=1e-3)
    assert weighted.path[0].train == pytest.approx(repeated.path[0].train, abs=1e-5)


def test_the_penalty_fits_what_is_to_be_learned() -> None:
    """Noise has a large one, and clear classes have a small one; more penalties in another order change nothing."""
    features, labels = clouds(200, 50, 2, spread=0.5)
    noise = np.random.default_rng(3).normal(size=features.shape).astype(np.float32)
    of_noise, of_classes = fit_exact_head(noise, labels, 2), fit_exact_head(features, labels, 2)
    assert of_noise.penalty > 100 * of_classes.penalty
    assert of_noise.path[of_noise.chosen].out_of_fold.log_loss < 0.75  # hardly worse than not knowing: ln 2
    again = fit_exact_head(features, labels, 2, penalties=PENALTIES[::-1])
    np.testing.assert_array_equal(again.kernel, of_classes.kernel)
    losses = [score.out_of_fold.log_loss for score in of_classes.path]
    assert of_classes.chosen == len(losses) - 1 - int(np.argmin(losses[::-1]))


def test_an_image_is_answered_by_a_head_without_its_group() -> None:
    """Labels that only its group tells cannot be told out of fold, and can where groups are torn."""
    generator = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), 5)
    labels = generator.integers(0, 2, 40)[groups]
    features = (generator.normal(size=(40, 60))[groups] + 0.1 * generator.normal(size=(200, 60))).astype(np.float32)
    whole = fit_exact_head(features, labels, 2, groups=groups)
    torn = fit_exact_head(features, labels, 2)
    assert all(len(set(whole.folds[groups == group])) == 1 for group in range(40))
    assert whole.path[whole.chosen].out_of_fold.accuracy < 0.7
    assert torn.path[torn.chosen].out_of_fold.accuracy > 0.95
    stated = np.mean(whole.out_of_fold.argmax(axis=1) == labels)
    assert stated == pytest.approx(whole.path[whole.chosen].out_of_fold.accuracy, abs=0.02)


def test_a_class_that_a_fold_lacks_is_improbable_there_and_no_more() -> None:
    """All images of class 2 are one group: the fold that holds it out has never seen the class."""
    features, labels = clouds(60, 8, 3)
    groups = np.where(labels == 2, -1, np.arange(60))
    head = fit_exact_head(features, labels, 3, groups=groups)
    held_out = softmax(head.out_of_fold)[labels == 2, 2]
    others = (head.folds != head.folds[labels == 2][0]).sum()
    np.testing.assert_allclose(held_out, 1 / (others + 2), rtol=1e-3)
    assert (head.logits(features).argmax(axis=1) == labels).mean() > 0.9


def test_other_images_are_scored_and_choose_nothing() -> None:
    features, labels = clouds(90, 10, 3, spread=2)
    alone = fit_exact_head(features[:60], labels[:60], 3)
    heard: list[exact_head.PenaltyScore] = []
    watched = fit_exact_head(
        features[:60], labels[:60], 3, val=(features[60:], (labels[60:] + 1) % 3), on_score=heard.append
    )
    np.testing.assert_array_equal(alone.kernel, watched.kernel)
    assert heard == watched.path
    assert alone.path[0].val is None
    assert all(score.val is not None and score.val.accuracy < 0.5 for score in heard[2:])


def test_features_that_say_nothing_leave_the_frequencies() -> None:
    labels = np.array([0] * 30 + [1] * 10)
    head = fit_exact_head(np.full((40, 6), 2.5, np.float32), labels, 2)
    np.testing.assert_allclose(softmax(head.logits(np.zeros((1, 6), np.float32))), [[0.75, 0.25]], atol=0.02)


def test_float32_and_float64_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels = clouds(120, 40, 4, spread=2)
    double = fit_exact_head(features, labels, 4)
    monkeypatch.setattr(exact_head, "MOST_DOUBLES", 0)
    single = fit_exact_head(features, labels, 4)
    assert single.penalty == double.penalty
    np.testing.assert_allclose(softmax(single.logits(features)), softmax(double.logits(features)), atol=2e-3)


@pytest.mark.parametrize(
    "limit", [(logistic_solver, "LOGITS_AT_A_TIME", 40), (principal_axes, "CHUNK", 7)], ids=["logits", "images"]
)
def test_pieces_come_to_the_whole(monkeypatch: pytest.MonkeyPatch, limit: tuple[object, str, int]) -> None:
    features, labels = clouds(60, 12, 3)
    whole = fit_exact_head(features, labels, 3)
    monkeypatch.setattr(*limit)
    np.testing.assert_allclose(fit_exact_head(features, labels, 3).logits(features), whole.logits(features), atol=1e-3)


def test_of_very_many_numbers_fewer_penalties_and_folds_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels = clouds(300, 20, 30, spread=0.3)
    monkeypatch.setattr(exact_head, "LARGE", 300 * 20 * 30 - 1)
    head = fit_exact_head(features, labels, 30, penalties=[0.1, 0.03, 0.01])
    assert [score.penalty for score in head.path] == [0.1, 0.01]
    assert head.path[head.chosen].out_of_fold.accuracy > 0.9
    assert len(set(head.folds.tolist())) == 3


def test_folds_keep_groups_and_shares() -> None:
    generator = np.random.default_rng(0)
    groups = generator.integers(0, 60, 600)
    labels = generator.integers(0, 3, 60)[groups]
    folds = grouped_folds(labels, groups, 5, seed=1)
    assert set(folds.tolist()) == set(range(5))
    assert all(len(set(folds[groups == group].tolist())) == 1 for group in np.unique(groups))
    for label in range(3):
        shares = np.bincount(folds[labels == label], minlength=5) / (labels == label).sum()
        assert shares.min() > 0.1
        assert shares.max() < 0.3
    assert not np.array_equal(folds, grouped_folds(labels, groups, 5, seed=2))
    rare = np.array([0] * 50 + [1] * 3)
    assert len(set(grouped_folds(rare, np.arange(53), 5, seed=0)[50:].tolist())) == 3


def test_one_group_has_no_folds() -> None:
    assert set(grouped_folds(np.zeros(4, int), np.array([0, 0, 1, 1]), 5, 0).tolist()) == {0, 1}
    with pytest.raises(ValueError, match="two groups"):
        fit_exact_head(np.ones((3, 2), np.float32), np.array([0, 1, 0]), 2, groups=np.zeros(3))
    with pytest.raises(ValueError, match="2 rows of features for 3 labels"):
        fit_exact_head(np.ones((2, 2), np.float32), np.array([0, 1, 0]), 2)


def test_cross_validation_alone_answers_as_the_fit_does() -> None:
    features, labels = clouds(120, 30, 3)
    groups = np.repeat(np.arange(40), 3)
    head = fit_exact_head(features, labels, 3, groups=groups)
    logits, penalty, _ = cross_validate(features, labels, 3, groups=groups)
    assert penalty == head.penalty
    # To the coarser tolerance, where the loss is flat: single images differ, by how much is up to the processor.
    assert np.abs(softmax(logits) - softmax(head.out_of_fold)).mean() < 0.005
    assert not np.allclose(logits, head.logits(features))
