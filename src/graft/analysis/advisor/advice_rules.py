"""From what was measured to a strategy, and the rule of thumb beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from graft.analysis.advisor.depths import Depth
from graft.analysis.advisor.scores import DepthScore, Gain, paired_gain
from graft.core.params.backbone_params import KerasBackboneParams
from graft.core.params.strategy_params import AugmentParams, FineTuneParams, Flip, FrozenParams, HeadParams

# Another backbone than the first named costs its user time in every prediction: it has to halve the error, and by
# more than chance has it.
WORTH_ANOTHER_BACKBONE = 0.5
# Images of a class from which a set counts as large. The rule of thumb gives no number; ImageNet has about 1,300.
LARGE_CLASS = 1000
# Multiply-adds for each byte of activations from which these are worth keeping, and bytes of all views from which they
# are too many. Near the image they are large and took little: of MobileNetV2 166 multiply-adds a byte behind block 1,
# 1,019 behind block 4, 7,189 behind block 13. Two cores do 18 (from memory) to 120 (from disk) while a byte is read;
# with the views and epochs below keeping pays from three times that. What is trained must not depend on the machine,
# so nothing is measured.
WORTH_KEEPING = 300
MOST_KEPT_BYTES = 16e9


@dataclass(frozen=True)
class Measured:
    """A candidate backbone, measured.

    Attributes:
        backbone: as params name it.
        scores: of its depths, lowest first.
        seconds: it took, activations in the feature store already counting as none.
    """

    backbone: KerasBackboneParams
    scores: list[DepthScore]
    seconds: float

    @property
    def top(self) -> DepthScore:
        """Of the whole backbone, which a head alone would stand on."""
        return self.scores[-1]

    @property
    def best(self) -> int:
        """Index of the depth with the highest accuracy, the highest of equals."""
        accuracies = [score.accuracy for score in self.scores]
        return max(range(len(accuracies)), key=lambda index: (accuracies[index], index))


def choose_backbone(measured: Sequence[Measured]) -> Measured:
    """The first, unless another halves its error."""
    chosen = measured[0]
    for other in measured[1:]:
        halves = 1 - _best(other).accuracy <= WORTH_ANOTHER_BACKBONE * (1 - _best(chosen).accuracy)
        differences = _best(other).right.astype(float) - _best(chosen).right
        if halves and paired_gain(differences, _best(chosen).groups).is_sure:
            chosen = other
    return chosen


def flip_of(horizontal: Gain, vertical: Gain) -> Flip:
    """How images may be mirrored: as a linear classifier gains by for sure.

    What merely does that no harm may still harm a backbone that is trained, and a gain that may be chance comes and
    goes with the seed of the folds: see docs/advisor.md.

    Args:
        horizontal, vertical: what mirrored images gain, see :func:`graft.analysis.advisor.scores.mirroring_gain`.
    """
    if horizontal.is_sure:
        return "horizontal_and_vertical" if vertical.is_sure else "horizontal"
    return "vertical" if vertical.is_sure else "none"


def recommend(
    chosen: Measured, images: int, classes: int, flip: Flip, enough: float
) -> FrozenParams | FineTuneParams:
    """The strategy to train.

    The head alone where it is told wrong so rarely that nothing else could gain a point. Otherwise the backbone is
    cut below the depth that a linear classifier does best on: what lies above that answers for ImageNet's classes
    rather than for these, so it is trained, and with it what feeds it, the more the worse that depth does. With
    large classes, one depth more.

    Args:
        images, classes: how many there are to train on.
        enough: error of the head alone, 0 to 1, up to which nothing else is tried.
    """
    if chosen.top.accuracy >= 1 - enough:
        return head_alone(chosen, flip)
    cut = chosen.best - depths_down(1 - _best(chosen).accuracy) - (images / classes >= LARGE_CLASS)
    views = 4 if images <= 2_000 else 3 if images <= 5_000 else 2 if images <= 20_000 else 1
    # The settings of the recipes, which were good on every data set there. Few images see more epochs and views: what
    # an epoch costs falls with them as well.
    return FineTuneParams(
        kind="fine_tune",
        backbone=chosen.backbone,
        unfreeze=chosen.scores[cut].depth.above if cut >= 0 else "all",
        head_epochs=5,
        epochs=10 if images <= 5_000 else 8 if images <= 20_000 else 5,
        keep="last",  # label smoothing makes the loss on validation blind to late gains
        optimizer="adamw",
        learning_rate=0.0002 if cut >= 0 else 0.0001,
        weight_decay=0.01,
        schedule="cosine",
        warm_up_epochs=1,
        label_smoothing=0.1,
        head=HeadParams(dropout=0.3),
        views=views if cut >= 0 and _worth_keeping(chosen.scores[cut].depth, images * views) else 0,
        augment=AugmentParams(flip=flip, rotate=0.05, zoom=0.15, translate=0.1, contrast=0.2, brightness=0.1),
    )


def _worth_keeping(depth: Depth, rows: int) -> bool:
    """Return whether to keep activations of ``rows`` images there rather than to compute them in every epoch."""
    return depth.multiply_adds >= WORTH_KEEPING * depth.bytes and rows * depth.bytes <= MOST_KEPT_BYTES


def head_alone(chosen: Measured, flip: Flip) -> FrozenParams:
    """An exact head on the whole frozen backbone, as params.yaml ships it."""
    return FrozenParams(kind="frozen", backbone=chosen.backbone, flip=flip)


def depths_down(error: float) -> int:
    """How many depths below the best one training starts, by the error of the linear classifier there, 0 to 1.

    Set on validation images of hand signs and rock-paper-scissors (docs/advisor.md): with 9 % of error, training from
    two thirds down the network was 3 points better than from its last fifth; with 4 %, no better.
    """
    return 1 + sum(error > limit for limit in (0.02, 0.05))


@dataclass(frozen=True)
class RuleOfThumb:
    """What the size of the set and its likeness to ImageNet alone would advise.

    Attributes:
        size: ``large`` from 1,000 images a class.
        likeness: ``alike`` where no depth below the top is the best.
        advice: in words.
    """

    size: Literal["small", "large"]
    likeness: Literal["alike", "different"]
    advice: str


def rule_of_thumb(chosen: Measured, images: int, classes: int) -> RuleOfThumb:
    """The rule that courses teach: how much to freeze, by size and likeness (see docs/advisor.md)."""
    size: Literal["small", "large"] = "large" if images / classes >= LARGE_CLASS else "small"
    likeness: Literal["alike", "different"] = (
        "alike" if chosen.best == len(chosen.scores) - 1 else "different"
    )
    advice = {
        ("small", "alike"): "train the head only",
        ("large", "alike"): "freeze 60 to 80 % of the layers",
        ("small", "different"): "freeze the first third to half of the layers",
        ("large", "different"): "start from the pretrained weights and train everything",
    }[size, likeness]
    return RuleOfThumb(size, likeness, advice)


def _best(measured: Measured) -> DepthScore:
    return measured.scores[measured.best]
