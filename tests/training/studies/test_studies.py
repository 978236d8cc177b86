"""Cross-validation, learning curve and ablation on features that are drawn: what they say is known beforehand."""

from dataclasses import replace

import numpy as np
import pytest

from graft.core.errors import GraftError
from graft.core.paired import Difference
from graft.core.params import Params
from graft.training.studies.ablation import ablate, variants
from graft.training.studies.cross_validation import cross_validated
from graft.training.studies.learning_curve import learning_curve
from graft.training.studies.study_images import StudyImages, StudyMember, frozen_names, out_of_fold, study_images


def drawn(count: int = 120, distance: float = 3.0, features: int = 8, seed: int = 0) -> StudyImages:
    """Three classes of pairs of images that belong together; their features lie ``distance`` deviations apart."""
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(count // 2) % 3, 2)
    inputs = random.normal(0, 1, (count, features)).astype(np.float32)
    inputs[np.arange(count), labels] += distance
    groups = np.repeat([f"g{number:03}" for number in range(count // 2)], 2)
    member = StudyMember("one at 8 px", inputs, (), features)
    names = [f"{number:064x}" for number in range(count)]
    return StudyImages("frozen", (member,), labels, ["a", "b", "c"], groups, names, "none", 5)


def test_every_image_is_answered_by_heads_that_have_not_seen_its_group() -> None:
    """Twins have the same features and labels by chance: who knows one of them knows the other."""
    images = drawn()
    random = np.random.default_rng(1)
    twins = np.repeat(random.normal(0, 1, (60, 40)), 2, axis=0).astype(np.float32)
    labels = np.repeat(random.integers(0, 3, 60), 2)
    images = replace(images, members=(StudyMember("m", twins, (), 40),), labels=labels)
    found = cross_validated(images, 5, [0, 1])
    assert found.by_seed["accuracy"].mean() < 0.55
    alone = replace(images, groups=np.arange(120).astype(str))
    assert cross_validated(alone, 5, [0]).by_seed["accuracy"].mean() > 0.7


def test_figures_are_of_all_images_and_of_each_fold_and_predictions_are_the_mean_of_seeds() -> None:
    images = drawn()
    found = cross_validated(images, 4, [3, 4])
    assert found.by_seed["seed"].tolist() == [3, 4]
    assert found.by_fold.groupby("seed")["images"].sum().tolist() == [120, 120]
    assert len(found.by_fold) == 8
    single = [out_of_fold(images, 4, seed)[0] for seed in (3, 4)]
    np.testing.assert_allclose(found.probabilities, (single[0] + single[1]) / 2)
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1)
    of_folds = found.by_fold[found.by_fold["seed"] == 3]
    mean = np.average(of_folds["accuracy"], weights=of_folds["images"])
    assert mean == pytest.approx(found.by_seed["accuracy"][0])


def test_a_curve_that_still_rises_asks_for_more_photographs() -> None:
    found = learning_curve(drawn(240, distance=1.6, features=60), 0, (0.2, 1.0))
    small, whole = found.points.to_dict("records")
    assert whole["images"] == pytest.approx(0.8 * 240)
    assert small["images"] == pytest.approx(0.2 * 0.8 * 240, rel=0.3)
    assert whole["accuracy"] > small["accuracy"] + 0.05
    assert whole["low"] < whole["accuracy"] < whole["high"]
    assert found.answer.startswith("More photographs are likely to help: from ")


def test_a_curve_that_is_flat_or_unsure_says_so() -> None:
    easy = learning_curve(drawn(distance=30.0), 0, (0.5, 1.0))
    assert easy.last_step.difference == 0
    assert easy.last_step.low < 0 < easy.last_step.high
    assert not easy.answer.startswith("More photographs are likely to help")
    many = learning_curve(drawn(900, distance=30.0, features=4), 0, (0.5, 1.0))
    assert many.answer.startswith("More photographs of this kind are unlikely to help by a point")


def test_probabilities_may_still_gain_where_accuracy_cannot_tell() -> None:
    found = learning_curve(drawn(distance=2.6, features=12, seed=3), 0, (0.5, 1.0))
    sure = replace(found, last_step=found.last_step.model_copy(update={"low": -0.02, "high": 0.03}))
    loss = Difference(0.05, 0.01)
    assert replace(sure, log_loss_step=loss).answer.startswith("More photographs are likely to make probabilities")
    assert "log loss fell by 0.0500 +- 0.0100" in replace(sure, log_loss_step=loss).answer
    assert replace(sure, log_loss_step=Difference(0.01, 0.01)).answer.startswith("Whether more photographs")


def test_each_option_that_is_on_is_left_out_once() -> None:
    images = drawn()
    (one,) = images.members
    noise = np.random.default_rng(2).normal(0, 1, (120, 5)).astype(np.float32)
    deep = replace(one, features=np.hstack([noise, one.features]), top=5, name="deep")
    both = replace(images, members=(deep, replace(one, plain=noise, mirrored=(one.features,))), class_weight="balanced")
    assert [option for option, _ in variants(both)] == [
        "deep",
        "one at 8 px",
        "mirror images in the mean",
        "mirrored copies to learn from",
        "depths below the top",
        "class_weight: balanced",
    ]
    assert list(variants(images)) == []
    found = ablate(replace(images, members=(deep,)), 4, 0)
    assert [entry.option for entry in found] == ["", "depths below the top"]
    without = found[1]
    assert without.comparison is not None
    assert without.comparison.answer == "worse"  # what is left is noise
    assert without.log_loss[0] > 3 * without.log_loss[1] > 0
    assert without.figures.accuracy < 0.6 < found[0].figures.accuracy


def test_balanced_classes_and_copies_reach_the_head() -> None:
    images = drawn(distance=1.5)
    plain, _ = out_of_fold(images, 4, 0)
    weighted, _ = out_of_fold(replace(images, labels=np.where(np.arange(120) < 80, 0, images.labels)), 4, 0)
    balanced, _ = out_of_fold(
        replace(images, labels=np.where(np.arange(120) < 80, 0, images.labels), class_weight="balanced"), 4, 0
    )
    assert balanced[:, 0].mean() < weighted[:, 0].mean()
    copies = replace(images.members[0], mirrored=(images.members[0].features + 0.1,))
    assert not np.allclose(out_of_fold(replace(images, members=(copies,)), 4, 0)[0], plain)


def test_only_frozen_strategies_with_a_solved_head_are_studied(full_params: Params, tmp_path: object) -> None:
    assert frozen_names(full_params)[0] == "frozen"
    assert "fine_tune" not in frozen_names(full_params)
    for name, message in (("fine_tune", "would take hours"), ("frozn", "Did you mean 'frozen'")):
        with pytest.raises(GraftError, match=message):
            study_images(None, full_params, name)  # type: ignore[arg-type]
