"""Scores of depths: right by construction where classes are told apart, and blind to what groups would give away."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from graft.advice.depths import DeepFeatures, Depth
from graft.advice.scores import better_by, mirroring_gain, score_depths
from graft.errors import GraftError


def deep(*widths: int) -> DeepFeatures:
    ends = np.cumsum([0, *widths])
    depths = [
        Depth(f"layer{number}", len(widths) - 1 - number, (number + 1) / len(widths), slice(start, end))
        for number, (start, end) in enumerate(pairwise(ends))
    ]
    return DeepFeatures(None, depths, {}, "made up")


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
    alone = score_depths(deep(4), features, labels, groups, seed=1, folds=4)[0].log_loss
    noise = np.random.default_rng(2).normal(scale=0.5, size=features.shape).astype(np.float32)
    assert mirroring_gain(alone, features, features + noise, labels, groups, seed=1, folds=4) > 0
    assert mirroring_gain(alone, features, -features, labels, groups, seed=1, folds=4) < -0.05


def test_too_few_images_are_refused_with_what_to_do() -> None:
    features, labels = told_apart(4)
    with pytest.raises(GraftError, match=r"two classes of three images.*frozen"):
        score_depths(deep(4), features, labels, np.arange(4), seed=1, folds=4)


def test_groups_too_few_for_folds_are_judged_image_by_image() -> None:
    features, labels = told_apart(40)
    scores = score_depths(deep(4), features, labels, labels, seed=1, folds=4)  # one group a class
    assert len(scores[0].right) == 40


def test_better_by_counts_only_images_on_which_both_differ() -> None:
    one = np.array([True] * 90 + [False] * 10)
    other = np.array([True] * 80 + [False] * 20)
    assert better_by(one, other) == pytest.approx(0.1 / (0.3 / 10), rel=1e-6)
    assert better_by(one, one) == 0
    assert better_by(other, one) == -better_by(one, other)
