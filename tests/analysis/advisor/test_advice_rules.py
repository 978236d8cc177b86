"""From scores to a strategy: each rule by a case on either side of it."""

from __future__ import annotations

import numpy as np
import pytest

from graft.analysis.advisor.advice_rules import Measured, choose_backbone, flip_of, recommend, rule_of_thumb
from graft.analysis.advisor.depths import Depth
from graft.analysis.advisor.scores import DepthScore, Gain
from graft.core.params.backbone_params import KerasBackboneParams
from graft.core.params.strategy_params import FineTuneParams, FrozenParams

IMAGES = 400


def measured(*accuracies: float, name: str = "MobileNetV2", work: int = 1000, size: int = 10_000) -> Measured:
    """A backbone whose depths have these accuracies, wrong on the first images."""
    scores = []
    for number, accuracy in enumerate(accuracies):
        above = 10 * (len(accuracies) - 1 - number)
        right = np.arange(IMAGES) >= round((1 - accuracy) * IMAGES)
        depth = Depth(f"layer{number}", above, (number + 1) / len(accuracies), slice(0, 1), work * size, size)
        images = np.arange(IMAGES)
        scores.append(DepthScore(depth, images, right, np.full(IMAGES, 0.1), images))
    return Measured(KerasBackboneParams(source="keras", name=name), scores, 1.0)


def test_the_head_alone_where_it_is_hardly_ever_wrong() -> None:
    strategy = recommend(measured(0.9, 0.95, 0.99), 900, 3, "horizontal", enough=0.01)
    assert isinstance(strategy, FrozenParams)
    assert strategy.flip == "horizontal"
    assert strategy.backbone is not None


@pytest.mark.parametrize(
    ("accuracies", "images", "unfreeze"),
    [
        ((0.7, 0.8, 0.9, 0.985), 900, 10),  # best at the top: from one depth below it
        ((0.7, 0.8, 0.985, 0.9), 900, 20),  # best one below: from the one below that
        ((0.7, 0.985, 0.985, 0.9), 900, 20),  # of equals the higher one
        ((0.985, 0.8, 0.8, 0.9), 900, "all"),  # best at the lowest: nothing to keep
        ((0.7, 0.8, 0.985, 0.9), 9000, 30),  # large classes: one depth more
        ((0.7, 0.8, 0.9, 0.96), 900, 20),  # the best errs in more than 2 %: one more
        ((0.7, 0.8, 0.9, 0.94), 900, 30),  # in more than 5 %: another one
    ],
)
def test_the_cut_is_below_the_best_depth(
    accuracies: tuple[float, ...], images: int, unfreeze: int | str
) -> None:
    strategy = recommend(measured(*accuracies), images, 3, "none", enough=0.01)
    assert isinstance(strategy, FineTuneParams)
    assert strategy.unfreeze == unfreeze
    assert strategy.learning_rate == (0.0001 if unfreeze == "all" else 0.0002)


def test_more_images_are_seen_fewer_times() -> None:
    few, many = (recommend(measured(0.8, 0.985), count, 20, "none", 0.01) for count in (500, 50_000))
    assert isinstance(few, FineTuneParams)
    assert isinstance(many, FineTuneParams)
    assert (few.epochs, few.views) > (many.epochs, many.views)


def test_c5_views_are_kept_where_that_pays_whatever_the_machine() -> None:
    def views(unfreeze_all: bool = False, **depth: int) -> int:
        accuracies = (0.985, 0.8) if unfreeze_all else (0.8, 0.985)
        strategy = recommend(measured(*accuracies, **depth), 900, 3, "none", 0.01)
        assert isinstance(strategy, FineTuneParams)
        assert (strategy.unfreeze == "all") is unfreeze_all
        return strategy.views

    assert views() == 4
    assert views(unfreeze_all=True) == 0  # nothing is below a cut
    assert views(work=301) == 4
    assert views(work=299) == 0  # near the image
    assert views(size=4_000_000) == 4
    assert views(size=5_000_000) == 0  # 18 GB


def test_another_backbone_has_to_halve_the_error_and_not_by_chance() -> None:
    first = measured(0.8, 0.9)
    assert choose_backbone([first, measured(0.8, 0.94, name="ResNet50")]).backbone.name == "MobileNetV2"
    assert choose_backbone([first, measured(0.96, 0.9, name="ResNet50")]).backbone.name == "ResNet50"
    nearly = measured(0.995, 0.99)
    by_chance = measured(0.9975, 0.9, name="ResNet50")  # one image of 400
    assert choose_backbone([nearly, by_chance]).backbone.name == "MobileNetV2"


@pytest.mark.parametrize(
    ("horizontal", "vertical", "expected"),
    [
        (0.01, -0.1, "horizontal"),
        (0.01, 0.01, "horizontal_and_vertical"),
        (-0.1, 0.01, "vertical"),
        (-0.1, -0.1, "none"),
        (0.001, 0.0, "none"),  # no more than chance
    ],
)
def test_images_are_mirrored_where_it_helps(horizontal: float, vertical: float, expected: str) -> None:
    assert flip_of(Gain(horizontal, 0.002), Gain(vertical, 0.002)) == expected


@pytest.mark.parametrize(
    ("accuracies", "images", "words"),
    [
        ((0.8, 0.9), 900, "head only"),
        ((0.8, 0.9), 9000, "60 to 80 %"),
        ((0.9, 0.8), 900, "third to half"),
        ((0.9, 0.8), 9000, "everything"),
    ],
)
def test_the_rule_of_thumb(accuracies: tuple[float, ...], images: int, words: str) -> None:
    assert words in rule_of_thumb(measured(*accuracies), images, 3).advice
