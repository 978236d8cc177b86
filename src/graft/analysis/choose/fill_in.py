"""Fill in the settings that params.yaml leaves to auto, from what was measured."""

from dataclasses import replace
from typing import Any

from graft.analysis.choose.choose import Choice
from graft.analysis.choose.measure import Measured
from graft.analysis.choose.plan import SPEED, Candidate
from graft.core.params.backbone_params import KerasBackboneParams
from graft.core.params.strategy_params import FineTuneParams, FrozenParams, StrategyParams, TransferParams, drawn_anew
from graft.core.quotas import cores
from graft.networks.backbones import default_image_size

# Of the minutes that are given, for fine-tuning where it promises to pay and where it does not, and for training from
# scratch.
SHARE_WHERE_PROMISING, SHARE_ELSE, SHARE_FOR_SCRATCH = 0.5, 0.2, 0.1
# Multiply-adds of an epoch, for each of a pass forward through the layers that are trained: twice as many backward, and
# Keras' training step takes about twice as long for each as OpenVINO. Measured on two cores: 7 to 10, and with 1x1
# convolutions as products (graft.training.pointwise) 1.3 times less.
PASSES_PER_EPOCH = 7
# Seconds of one core to build the network and its graph of training, and for each pixel of a view of an image.
STARTING_SECONDS, VIEW_SECONDS_PER_PIXEL = 30.0, 1.1e-7
# Changed views of each image that are drawn once, so that all below the layers that are trained is computed once; of
# images whose uppermost layers alone are trained, fewer do.
VIEWS, FEWER_VIEWS = 4, 2
# Fewer epochs do not use a cosine schedule, more overfit. At the lower rate, pixels count for more than epochs.
LEAST_EPOCHS, LEAST_EPOCHS_OF_UPPER, MOST_EPOCHS = 8, 4, 24
FINE_TUNING_SIZES = (224, 192, 160, 128, 96)
# Fine-tuning promises to pay where the photographs are unlike ImageNet's: where a head on the network's top is wrong
# more often than this, and one on all depths has less than this share of its log loss, out of fold; or where the best
# of all that was measured is wrong more often still, so that no frozen network knows what tells the classes apart. Then
# all but the lowest layers, which see edges and colours, have something to learn. Else the uppermost have, at a lower
# rate: a few hundred images would only undo the rest. Shares of layers are about shares of the arithmetic. Shares of
# log loss, by MobileNetV2 at 224 px: MNIST 0.72, hand signs 0.74, rock-paper-scissors 0.78, of which fine-tuning was
# the best model; CIFAR-10 and solar cells 0.93, dogs and cats 0.95, ants and bees 0.96, of which a frozen network was,
# by 4 to 7 points more than all but the lowest layers trained. Of 43 kinds of drawn signs, small and each in series of
# ten, 1.11 and 25 % errors of the best: 88.9 % with most layers trained, 58.5 % with the uppermost, 73.1 % frozen.
MANY_ERRORS, LOWER_LAYERS_HELP, TOO_MANY_ERRORS = 0.04, 0.85, 0.15
MOST_LAYERS, UPPER_LAYERS = 0.65, 0.25
RATE_OF_MOST, RATE_OF_UPPER = 0.001, 0.00005
# From random weights: seconds of one core for a step, for each image and pixel; and what leaves shapes to be seen.
SCRATCH_SECONDS_PER_PIXEL, SCRATCH_SIZES = 3.9e-6, (64, 48, 32)
SCRATCH_EPOCHS = 20
# What another photograph of the same thing might look like: a tilted camera, a crop that is not cut to the pixel, other
# light. Nothing that turns one class into another; whether mirroring does was measured.
AUGMENT = {"rotate": 0.04, "zoom": 0.15, "translate": 0.08, "contrast": 0.2, "brightness": 0.1}


def settings_for(strategy: StrategyParams, choice: Choice, train_images: int, trainings: int = 1) -> dict[str, Any]:
    """Return values for the settings of a strategy that say ``auto``, as params.yaml would have them.

    Args:
        strategy: with what it shares filled in.
        choice: what was measured.
        train_images: that it will be trained on.
        trainings: how many that is, of networks that are trained: one more than there are folds.
    """
    if isinstance(strategy, FrozenParams):
        values = _frozen(choice)
    elif isinstance(strategy, FineTuneParams):
        values = _fine_tune(strategy, choice, train_images, trainings)
    else:
        values = {**_scratch(choice, train_images, trainings), "augment": _augment(choice)}
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


def _fine_tune(strategy: FineTuneParams, choice: Choice, train_images: int, trainings: int) -> dict[str, Any]:
    """Return settings: the network that costs least a pixel, the most pixels that time allows, the first layer by
    errors.
    """
    left_open = strategy.to_choose
    named = strategy.backbone if "backbone" not in left_open else None
    cheapest = _cheapest(choice)
    promising = is_promising(choice)
    share = MOST_LAYERS if promising else UPPER_LAYERS
    settings: dict[str, Any] = {
        "unfreeze": share,
        "views": VIEWS if promising else FEWER_VIEWS,
        "learning_rate": RATE_OF_MOST if promising else RATE_OF_UPPER,
        "augment": _augment(choice),
    }
    if named is not None and not isinstance(named, KerasBackboneParams):
        # It has no layers to start from: all of it is trained, and nothing below stays the same.
        return {**settings, "unfreeze": "all", "views": 0, "epochs": LEAST_EPOCHS}
    if ("unfreeze" not in left_open and strategy.unfreeze == "all") or drawn_anew(strategy.augment):
        settings["views"], share = 0, 1.0
    # Of the cheapest network the most pixels and epochs fit into the time.
    network = cheapest.candidate if named is None else Candidate(named, default_image_size(named))
    budget = choice.minutes * 60 * (SHARE_WHERE_PROMISING if promising else SHARE_ELSE)
    sizes = [size for size in FINE_TUNING_SIZES if size <= default_image_size(network.backbone)]
    smaller = [replace(network, image_size=size) for size in sizes or [network.image_size]]
    work = share, settings["views"], train_images, budget
    least = LEAST_EPOCHS if promising else LEAST_EPOCHS_OF_UPPER
    # Folds cost epochs and no pixels: they are trained to say how good the model is, which is not to suffer for it.
    network = next((one for one in smaller if _epochs(one, *work) >= least), smaller[-1])
    epochs = _epochs(network, *work, trainings)
    return {
        **settings,
        "backbone": network.backbone.model_dump(),
        "image_size": network.image_size,
        "epochs": min(max(epochs, least), MOST_EPOCHS),
    }


def _cheapest(choice: Choice) -> Measured:
    """Return the measured network that costs least for each pixel, with the features of its top alone."""
    plain = [one for one in choice.measured if one.candidate.pooling == "average" and not one.candidate.mirrored]
    return min(plain, key=lambda one: one.candidate.multiply_adds / one.candidate.image_size**2)


def is_promising(choice: Choice) -> bool:
    """Return whether fine-tuning promises more than a frozen network: the photographs are unlike ImageNet's."""
    top = _cheapest(choice)
    if 1 - top.accuracy <= MANY_ERRORS:
        return False
    if 1 - choice.best.accuracy > TOO_MANY_ERRORS:
        return True
    depths = [one.log_loss for one in choice.measured if one.candidate == top.candidate.with_all_depths]
    return not depths or min(depths) < LOWER_LAYERS_HELP * top.log_loss


def _epochs(network: Candidate, share: float, views: int, images: int, budget: float, trainings: int = 1) -> int:
    """Return how many epochs of training a share of a network's layers fit into so many seconds."""
    view = network.seconds(images) + images * VIEW_SECONDS_PER_PIXEL * network.image_size**2 / cores()
    # What a view comes to is cached: of all images it is computed once, however many trainings they take part in.
    starting = trainings * STARTING_SECONDS / cores() + views * view
    epoch = images * network.multiply_adds * share * PASSES_PER_EPOCH / SPEED / cores()
    return int((budget - starting) / (trainings * epoch))


def _scratch(choice: Choice, train_images: int, trainings: int) -> dict[str, Any]:
    """Return settings: the most pixels that the usual epochs fit into the time with, else fewer epochs of the least."""
    budget = choice.minutes * 60 * SHARE_FOR_SCRATCH * cores() / trainings
    for size in SCRATCH_SIZES:
        epochs = int(budget / (train_images * size**2 * SCRATCH_SECONDS_PER_PIXEL))
        if epochs >= SCRATCH_EPOCHS:
            return {"image_size": size, "epochs": SCRATCH_EPOCHS}
    return {"image_size": SCRATCH_SIZES[-1], "epochs": max(epochs, LEAST_EPOCHS)}


def _augment(choice: Choice) -> dict[str, Any]:
    return {**AUGMENT, "flip": "horizontal" if choice.flips_do_no_harm else "none"}
