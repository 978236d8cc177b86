"""Fill in the settings that params.yaml leaves to auto, from what was measured."""

from __future__ import annotations

from typing import Any

from graft.analysis.choose.choose import Choice
from graft.analysis.choose.plan import Candidate
from graft.core.params.strategy_params import FineTuneParams, FrozenParams, StrategyParams, TransferParams
from graft.networks.backbones import default_image_size

# Multiply-adds of an epoch, for each of a pass forward: twice as many backward, and Keras' training step takes about
# three times as long for each as OpenVINO. Measured on two cores: 7 to 10.
PASSES_PER_EPOCH = 9
# Of the minutes that are given, for fine-tuning.
SHARE_FOR_FINE_TUNING = 0.4
# Fewer epochs do not use a cosine schedule, more overfit.
LEAST_EPOCHS, MOST_EPOCHS = 5, 25
FINE_TUNING_SIZES = (224, 192, 160, 128, 96)
# Above this share of errors out of fold the photographs are unlike ImageNet's, and all layers have something to learn;
# below, the upper ones, at a lower rate: a few hundred images would only undo the rest.
MANY_ERRORS = 0.08
UPPER_PART = 0.4
RATE_OF_ALL, RATE_OF_UPPER_PART = 0.0005, 0.0002
# Enough for shapes, and an eighth of the arithmetic of 160.
SCRATCH_SIZE = 64
# What another photograph of the same thing might look like: a tilted camera, a crop that is not cut to the pixel, other
# light. Nothing that turns one class into another; whether mirroring does was measured.
AUGMENT = {"rotate": 0.04, "zoom": 0.15, "translate": 0.08, "contrast": 0.2, "brightness": 0.1}


def settings_for(strategy: StrategyParams, choice: Choice, train_images: int) -> dict[str, Any]:
    """Return values for the settings of a strategy that say ``auto``, as params.yaml would have them.

    Args:
        strategy: with what it shares filled in.
        choice: what was measured.
        train_images: that it will be trained on.
    """
    if isinstance(strategy, FrozenParams):
        values = _frozen(choice)
    elif isinstance(strategy, FineTuneParams):
        values = _fine_tune(choice, train_images)
    else:
        values = {"image_size": SCRATCH_SIZE, "augment": _augment(choice)}
    return {**{key: value for key, value in values.items() if key in strategy.to_choose}, **own_size(strategy)}


def own_size(strategy: StrategyParams) -> dict[str, Any]:
    """Return the size that a strategy's own backbone was made for, where it names one and leaves the size to auto."""
    if not isinstance(strategy, TransferParams) or "image_size" not in strategy.to_choose:
        return {}
    if strategy.backbone is None or {"backbone", "members"} & set(strategy.to_choose):
        return {}
    return {"image_size": default_image_size(strategy.backbone)}


def _frozen(choice: Choice) -> dict[str, Any]:
    chosen = [(choice.measured[index].candidate, weight) for index, weight in choice.selection.weights.items()]
    members = [
        {
            "backbone": one.backbone.model_dump(),
            "image_size": one.image_size,
            "pooling": one.pooling,
            "mirrored": one.mirrored,
            "weight": weight,
        }
        for one, weight in chosen
    ]
    best = choice.best.candidate
    return {"members": members, "backbone": best.backbone.model_dump(), "image_size": best.image_size}


def _fine_tune(choice: Choice, train_images: int) -> dict[str, Any]:
    """The best single network that can be trained in the time that is given, whole or in its upper part."""
    plain = [one for one in choice.measured if one.candidate.pooling == "average" and not one.candidate.mirrored]
    best = min(plain, key=lambda one: one.log_loss)
    cheapest = min(plain, key=lambda one: one.candidate.rank)
    seconds = choice.minutes * 60 * SHARE_FOR_FINE_TUNING
    unfreeze = "all" if 1 - choice.selection.accuracy > MANY_ERRORS else UPPER_PART
    for one in (best, cheapest):
        for size in FINE_TUNING_SIZES:
            if size > one.candidate.image_size:
                continue
            epoch = Candidate(one.candidate.backbone, size).seconds(train_images) * PASSES_PER_EPOCH
            epochs = int(seconds / epoch)
            if epochs >= LEAST_EPOCHS:
                return _fine_tuning(one.candidate.backbone, size, min(epochs, MOST_EPOCHS), unfreeze, choice)
    return _fine_tuning(cheapest.candidate.backbone, FINE_TUNING_SIZES[-1], LEAST_EPOCHS, UPPER_PART, choice)


def _fine_tuning(backbone: Any, size: int, epochs: int, unfreeze: object, choice: Choice) -> dict[str, Any]:
    return {
        "backbone": backbone.model_dump(),
        "image_size": size,
        "epochs": epochs,
        "unfreeze": unfreeze,
        "learning_rate": RATE_OF_ALL if unfreeze == "all" else RATE_OF_UPPER_PART,
        "augment": _augment(choice),
    }


def _augment(choice: Choice) -> dict[str, Any]:
    return {**AUGMENT, "flip": "horizontal" if choice.flips_do_no_harm else "none"}
