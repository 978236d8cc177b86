"""The task that every strategy is given and the result that it gives back."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from graft.core.params.strategy_params import FineTuneParams, ScratchParams
from graft.core.timing import StageClock
from graft.networks.decode_images import LabelledImages
from graft.networks.features.extract import predict
from graft.networks.features.feature_store import FeatureStore
from graft.training.augmentation import augmentation_layers
from graft.training.blend import Blend
from graft.training.fit import FitResult, Labelled, fit
from graft.training.head_on_backbone import HeadOnBackbone, as_model
from graft.training.mixing import Mixing

RowsAt = Callable[[np.ndarray], np.ndarray]  # rows of an array, which may lie in a file, by their places


@dataclass(frozen=True)
class Task:
    """One training to do.

    Attributes:
        name: of the strategy, as in params.
        classes: labels in the order of the logits.
        train, val: images uint8 ``[N, S, S, 3]`` with class indices; they may be decoded at first use, so that
            what cannot be trained is refused before that.
        image_size: S.
        seed: for initial weights, order, dropout and augmentation.
        cache: folder for downloaded weights.
        checkpoint: folder for this very piece of work: another data set or parameter is another folder.
        clock: where the time goes.
        store: the feature store; None stores nothing.
        groups, val_groups: of each image of train and of val, what belongs together; for strategies that
            cross-validate.
        folds: that the images of train and val are validated in, see :mod:`graft.training.validate_in_folds`; 0: those
            of val are validated, by the training that leaves them out.
    """

    name: str
    classes: list[str]
    train: LabelledImages
    val: LabelledImages
    image_size: int
    seed: int
    cache: Path
    checkpoint: Path
    clock: StageClock
    store: FeatureStore | None = None
    groups: np.ndarray | None = None
    val_groups: np.ndarray | None = None
    folds: int = 0


@dataclass(frozen=True)
class OutOfFoldLogits:
    """The logits of cross-validation within the training images.

    Attributes:
        logits: float32 ``[N, C]`` of each training image, by a head that was fitted without its fold.
        labels: class indices ``[N]``.
        groups: of each, what belongs together, ``[N]``.
    """

    logits: np.ndarray
    labels: np.ndarray
    groups: np.ndarray


@dataclass(frozen=True)
class Trained:
    """A trained strategy.

    Attributes:
        network: float32 images ``[N, S, S, 3]`` in 0..255 to logits ``[N, C]``: a model, or a head that alone was
            trained, with its backbone.
        val_logits: of the validation images, in their order; where they are in folds, of those of train and then val.
        fit: the history of the (last) fit.
        weights_source, weights_digest: where the initial weights came from, and which they were.
        out_of_fold: of a head that was cross-validated; None of others.
        features: of frozen networks: each returns the features float32 ``[n, D]`` of some images, by their places among
            those of train and then val; None of others.
    """

    network: keras.Model | HeadOnBackbone | Blend
    val_logits: np.ndarray
    fit: FitResult
    weights_source: str
    weights_digest: str
    out_of_fold: OutOfFoldLogits | None = None
    features: Sequence[RowsAt] | None = None

    @property
    def model(self) -> keras.Model:
        """The network as one model; a backbone that was not needed so far is built for it."""
        assert not isinstance(self.network, Blend)  # has several, in float32
        return as_model(self.network)

    @property
    def precision(self) -> str:
        """The precision of the arithmetic that it was trained in: float32, or a mixed one."""
        if isinstance(self.network, Blend):
            return "float32"
        if isinstance(self.network, HeadOnBackbone):
            return str(self.network.backbone.identity["precision"])
        policies = {layer.dtype_policy.name for layer in self.network._flatten_layers()}
        return next((name for name in policies if name.startswith("mixed")), "float32")

    @property
    def parameter_counts(self) -> tuple[int, int]:
        """Counts of all its weights' numbers, and of those that were trained."""
        networks = [one.network for one in self.network.members] if isinstance(self.network, Blend) else [self.network]
        counts = [_parameter_counts(one) for one in networks]
        return sum(total for total, _ in counts), sum(trained for _, trained in counts)


def _parameter_counts(network: keras.Model | HeadOnBackbone) -> tuple[int, int]:
    if not isinstance(network, HeadOnBackbone):
        return _count(network.weights), _count(network.trainable_weights)
    head = network.head
    return network.backbone.parameter_count + _count(head.weights), _count(head.trainable_weights)


def _count(weights: Sequence[keras.Variable]) -> int:
    return sum(math.prod(weight.shape) for weight in weights)


def fit_end_to_end(
    model: keras.Model,
    params: FineTuneParams | ScratchParams,
    task: Task,
    rate_factors: Mapping[str, float] | None = None,
) -> tuple[FitResult, np.ndarray]:
    """Fit a model to the task's images, augmented, carrying on from the task's checkpoint where there is one.

    Returns the fit, and the logits of the validation images; ``rate_factors`` as :func:`build_optimizer` takes them.
    """
    # Decoded now if they were not yet, which has a span of its own.
    train, val = task.train.inputs, task.val.inputs
    with task.clock.span("fit"):
        result = fit(
            model,
            Labelled(train, task.train.labels),
            Labelled(val, task.val.labels),
            params,
            classes=len(task.classes),
            seed=task.seed,
            label=task.name,
            checkpoint=task.checkpoint,
            augmentation=augmentation_layers(params.augment, task.seed),
            mix=Mixing(params.augment) or None,
            rate_factors=rate_factors,
        )
        return result, predict(model, val, f"{task.name}: val images")
