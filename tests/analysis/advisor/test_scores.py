"""Scores of depths: right by construction where classes are told apart, and blind to what groups would give away."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import numpy as np
import pytest

from graft.analysis.advisor.depths import DeepFeatures, Depth
from graft.analysis.advisor.scores import mirroring_gain, paired_gain, score_depths
from graft.core.errors import GraftError

if TYPE_CHECKING:
    import keras

    from graft.networks.backbones.backbone import Backbone


def deep(*widths: int) -> DeepFeatures:
    ends = np.cumsum([0, *widths])
    depths = [
        Depth(
            f"layer{number}", len(widths) - 1 - number, (number + 1) / len(widths), slice(start, end), 1000, 1
        )
        for number, (start, end) in enumerate(pairwise(ends))
    ]
    backbone = cast("Backbone", SimpleNamespace(name="made up"))
    return DeepFeatures(cast("keras.Model", None), depths, {}, backbone)


def told_apart(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features float32 [N, 4] of which the first tells the class, and class indices."""
    labels = np.arange(count) % 2
    features = np.random.default_rng(seed).normal(size=(count, 4)).astype(np.float32)
    features[:, 0] += 8 * labels
    return features, labels


def test_the_depth_that_tells_classes_apart_scores_best() -> None:
    good, labels = told_apart(80)
    noise = np.random.default_rng(1).normal(size=(80, 3)).astype(np.float32)
    scores = score_depths(deep(3, 4), np.hstack([noise, good]), labels, np.arange(80), seed=1, folds=4)
    assert scores[1].accuracy > 0.97 > 0.7 > scores[0].accuracy
    assert scores[1].log_loss < scores[0].log_loss
    assert scores[1].right.mean() == scores[1].accuracy


def test_frames_of_one_film_do_not_vouch_for_each_other() -> None:
    # Each film has a look of its own and a class by chance: image by image it is told, film by film it is not.
    random = np.random.default_rng(0)
    films = np.repeat(np.arange(12), 8)
    labels = (np.arange(12) % 2)[films]
    features = (random.normal(size=(12, 24))[films] + 0.05 * random.normal(size=(96, 24))).astype(np.float32)
    apart = score_depths(deep(24), features, labels, np.arange(96), seed=1, folds=4)[0]
    together = score_depths(deep(24), features, labels, films, seed=1, folds=4)[0]
    assert apart.accuracy > 0.9
    assert together.accuracy < 0.8


def test_mirroring_gains_where_the_class_survives_it_and_loses_where_it_does_not() -> None:
    features, labels = told_apart(40)
    features[:, 0] -= 4  # class 1 lies above 0, class 0 below
    groups = np.arange(40)
    alone = score_depths(deep(4), features, labels, groups, seed=1, folds=4)[0]
    noise = np.random.default_rng(2).normal(scale=0.5, size=features.shape).astype(np.float32)
    helped = mirroring_gain(alone, features, features + noise, labels, groups, seed=1, folds=4)
    harmed = mirroring_gain(alone, features, -features, labels, groups, seed=1, folds=4)
    assert helped.mean > 0
    assert helped.is_sure
    assert harmed.mean < -0.05
    assert not harmed.is_sure


def test_too_few_images_are_refused_with_what_to_do() -> None:
    features, labels = told_apart(4)
    with pytest.raises(GraftError, match=r"two classes of three images.*frozen"):
        score_depths(deep(4), features, labels, np.arange(4), seed=1, folds=4)


def test_groups_too_few_for_folds_are_judged_image_by_image() -> None:
    features, labels = told_apart(40)
    scores = score_depths(deep(4), features, labels, labels, seed=1, folds=4)  # one group a class
    assert len(scores[0].right) == 40


def test_a_gain_is_sure_beyond_two_standard_errors_of_what_both_differ_in() -> None:
    differences = np.array([1.0] * 10 + [0.0] * 90)
    gain = paired_gain(differences, np.arange(100))
    assert gain.mean == pytest.approx(0.1)
    assert gain.standard_error == pytest.approx(differences.std(ddof=1) / 10)
    assert gain.is_sure
    assert not paired_gain(-differences, np.arange(100)).is_sure
    assert not paired_gain(np.zeros(100), np.arange(100)).is_sure
    assert not paired_gain(np.array([1.0] * 3 + [0.0] * 97), np.arange(100)).is_sure


def test_what_a_group_has_in_common_counts_once() -> None:
    films = np.array([1.0, 0, 0, 1, 0, 0, 0, 0])
    frames = np.repeat(films, 50)
    alone = paired_gain(films, np.arange(8))
    together = paired_gain(frames, np.repeat(np.arange(8), 50))
    assert together.mean == alone.mean
    assert together.standard_error == pytest.approx(alone.standard_error)
    assert paired_gain(frames, np.arange(400)).is_sure
    assert not alone.is_sure
    assert not paired_gain(np.ones(5) + np.arange(5), np.zeros(5)).is_sure  # one group says nothing
