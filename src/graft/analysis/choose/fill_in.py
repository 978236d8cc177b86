"""Fill in the settings that params.yaml leaves to auto, from what was measured."""

from dataclasses import replace
from typing import Any

from graft.analysis.choose.choose import Choice
from graft.analysis.choose.plan import SPEED, Candidate
from graft.core.params.backbone_params import KerasBackboneParams
from graft.core.params.strategy_params import FineTuneParams, FrozenParams, StrategyParams, TransferParams, drawn_anew
from graft.core.quotas import cores
from graft.networks.backbones import default_image_size

# Of the minutes that are given, for fine-tuning and for training from scratch.
SHARE_FOR_FINE_TUNING, SHARE_FOR_SCRATCH = 0.4, 0.1
# Multiply-adds of an epoch, for each of a pass forward through the layers that are trained: twice as many backward, and
# Keras' training step takes about three times as long for each as OpenVINO. Measured on two cores: 7 to 10.
PASSES_PER_EPOCH = 9
# Seconds of one core to build the network and its graph of training, and for each pixel of a view of an image.
STARTING_SECONDS, VIEW_SECONDS_PER_PIXEL = 30.0, 1.1e-7
# Changed views of each image that are drawn once, so that all below the layers that are trained is computed once.
VIEWS = 4
# Fewer epochs do not use a cosine schedule, more overfit.
LEAST_EPOCHS, MOST_EPOCHS = 8, 24
FINE_TUNING_SIZES = (224, 192, 160, 128, 96)
# Above this share of errors, out of fold by a head on the top of that network, the photographs are unlike ImageNet's:
# all but the lowest layers, which see edges and colours, have something to learn. Below, the uppermost have, at a lower
# rate: a few hundred images would only undo the rest. Shares of layers are about shares of the arithmetic.
MANY_ERRORS = 0.04
MOST_LAYERS, UPPER_LAYERS = 0.65, 0.25
RATE_OF_MOST, RATE_OF_UPPER = 0.001, 0.00005
# From random weights: seconds of one core for a step, for each image and pixel; and what leaves shapes to be seen.
SCRATCH_SECONDS_PER_PIXEL, SCRATCH_SIZES = 2.0e-6, (64, 48, 32)
SCRATCH_EPOCHS = 20
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
        values = _fine_tune(strategy, choice, train_images)
    else:
        values = {**_scratch(choice, train_images), "augment": _augment(choice)}
    return {key: value for key, value in values.items() if key in strategy.to_choose} | own_size(strategy)


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


def _fine_tune(strategy: FineTuneParams, choice: Choice, train_images: int) -> dict[str, Any]:
    """Return settings: the network that costs least a pixel, the most pixels that time allows, the first layer by
    errors.
    """
    left_open = strategy.to_choose
    named = strategy.backbone if "backbone" not in left_open else None
    plain = [one for one in choice.measured if one.candidate.pooling == "average" and not one.candidate.mirrored]
    cheapest = min(plain, key=lambda one: one.candidate.multiply_adds / one.candidate.image_size**2)
    many_errors = 1 - cheapest.accuracy > MANY_ERRORS
    share = MOST_LAYERS if many_errors else UPPER_LAYERS
    settings: dict[str, Any] = {
        "unfreeze": share,
        "views": VIEWS,
        "learning_rate": RATE_OF_MOST if many_errors else RATE_OF_UPPER,
        "augment": _augment(choice),
    }
    if named is not None and not isinstance(named, KerasBackboneParams):
        # It has no layers to start from: all of it is trained, and nothing below stays the same.
        return {**settings, "unfreeze": "all", "views": 0, "epochs": LEAST_EPOCHS}
    if ("unfreeze" not in left_open and strategy.unfreeze == "all") or drawn_anew(strategy.augment):
        settings["views"], share = 0, 1.0
    # Of the cheapest network the most pixels and epochs fit into the time.
    network = cheapest.candidate if named is None else Candidate(named, default_image_size(named))
    budget = choice.minutes * 60 * SHARE_FOR_FINE_TUNING
    sizes = [size for size in FINE_TUNING_SIZES if size <= default_image_size(network.backbone)]
    smaller = [replace(network, image_size=size) for size in sizes or [network.image_size]]
    fits = [(one, _epochs(one, share, settings["views"], train_images, budget)) for one in smaller]
    network, epochs = next((one for one in fits if one[1] >= LEAST_EPOCHS), fits[-1])
    return {
        **settings,
        "backbone": network.backbone.model_dump(),
        "image_size": network.image_size,
        "epochs": min(max(epochs, LEAST_EPOCHS), MOST_EPOCHS),
    }


def _epochs(network: Candidate, share: float, views: int, images: int, budget: float) -> int:
    """Return how many epochs of training a share of a network's layers fit into so many seconds."""
    view = network.seconds(images) + images * VIEW_SECONDS_PER_PIXEL * network.image_size**2 / cores()
    starting = STARTING_SECONDS / cores() + views * view
    epoch = images * network.multiply_adds * share * PASSES_PER_EPOCH / SPEED / cores()
    return int((budget - starting) / epoch)


def _scratch(choice: Choice, train_images: int) -> dict[str, Any]:
    """Return settings: the most pixels that the usual epochs fit into the time with, else fewer epochs of the least."""
    budget = choice.minutes * 60 * SHARE_FOR_SCRATCH * cores()
    for size in SCRATCH_SIZES:
        epochs = int(budget / (train_images * size**2 * SCRATCH_SECONDS_PER_PIXEL))
        if epochs >= SCRATCH_EPOCHS:
            return {"image_size": size, "epochs": SCRATCH_EPOCHS}
    return {"image_size": SCRATCH_SIZES[-1], "epochs": max(epochs, LEAST_EPOCHS)}


def _augment(choice: Choice) -> dict[str, Any]:
    return {**AUGMENT, "flip": "horizontal" if choice.flips_do_no_harm else "none"}
