"""The kinds of strategies in params.yaml: what is trained, on which backbone, under which head, and how."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, PlainValidator, SerializerFunctionWrapHandler, model_serializer, model_validator

from graft.core.params.auto_settings import WithAuto
from graft.core.params.backbone_params import BackboneParams, KerasBackboneParams
from graft.core.params.sections import Count, CountOrNone, Fraction, LearningRate, Section, Share

Flip = Literal["none", "horizontal", "vertical", "horizontal_and_vertical"]
Pooling = Literal["average", "max", "flatten", "depths"]
Precision = Literal["auto", "float32", "mixed_float16", "mixed_bfloat16"]
Seed = Annotated[int, Field(ge=0, lt=2**31)]


def _image_size(value: object) -> object:
    if value == "auto" or (type(value) is int and value >= 1):
        return value
    raise ValueError(f"{value!r} is no image size. It should be pixels a side, or auto")


def _unfreeze(value: object) -> object:
    # YAML tells 1 from 1.0, and so does this: the last layer, and all layers.
    is_count, is_fraction = type(value) is int and value >= 1, type(value) is float and 0 < value <= 1
    if is_count or is_fraction or (isinstance(value, str) and value):
        return value
    raise ValueError(
        f"{value!r} names no layers. It should be all, the first layer to train, how many of the last ones (5), "
        "or which share of them (0.25)"
    )


# Unions with validators of their own: pydantic would list what each member of the union has against a value.
ImageSize = Annotated[Literal["auto"] | int, PlainValidator(_image_size)]
Unfreeze = Annotated[str | int | float, PlainValidator(_unfreeze)]


class HeadParams(Section):
    """From the backbone's last map to the logits: pooling, hidden layers, dropout, one dense layer.

    Attributes:
        pooling: ``average`` or ``max`` over the map; ``flatten``, which keeps where things are and needs one weight
            per position; or ``depths``, for frozen backbones: averages over the maps at six depths.
        hidden: units of each hidden layer, relu behind each.
        batch_norm: after each hidden layer.
        dropout: share of the inputs of the last layer that is left out in each step.
        l1, l2: penalties on the kernels of the dense layers.
    """

    pooling: Pooling = "average"
    hidden: list[Count] = Field(default=[])
    batch_norm: bool = False
    dropout: Fraction = 0.2
    l1: Share = 0.0
    l2: Share = 0.0


class AugmentParams(Section):
    """Random changes to training images; every amount is a maximum, 0 or none switches it off.

    Attributes:
        mix_up: alpha of the Beta distribution that says how two images and their labels are blended; 0.2 is usual.
        cut_mix: alpha likewise, at most 1, for a rectangle of one image put into another; 1 is usual.
        flip: mirror along an axis, each image with probability 1/2.
        rotate: fraction of a full turn, either way.
        zoom: fraction of the side, in and out.
        translate: fraction of the side, each direction.
        contrast: factor drawn from [1 - contrast, 1 + contrast].
        brightness: fraction of the value range, either way.
        rand_augment: strength of two changes from RandAugment's list, drawn for each batch.
    """

    mix_up: Annotated[float, Field(ge=0, le=10)] = 0.0
    cut_mix: Share = 0.0
    flip: Flip = "none"
    rotate: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    zoom: Fraction = 0.0
    translate: Fraction = 0.0
    contrast: Fraction = 0.0
    brightness: Share = 0.0
    rand_augment: Share = 0.0


def drawn_anew(augment: AugmentParams) -> list[str]:
    """Return the names of the changes that have no views, because they need other images of the batch or the batch."""
    return [name for name in ("mix_up", "cut_mix", "rand_augment") if getattr(augment, name)]


class FitParams(WithAuto):
    """What every kind of strategy shares: head, optimisation, and what guards it.

    Attributes:
        epochs: at most; early stopping may end sooner.
        patience: epochs without a better validation log loss before training stops.
        keep: the epoch whose weights the model gets: the ``best`` by validation log loss (the median of three
            epochs, as one alone is best by luck), or the ``last``, which ends
            the schedule: for validation images too easy to choose, or label smoothing, which that loss holds against a
            model. With ``last`` patience never runs out.
        batch_size: images per step at most, over all devices together.
        learning_rate: the highest one, which ``schedule`` starts from.
        schedule: ``constant``, or ``cosine``: down to nothing over all epochs, along half a cosine.
        warm_up_epochs: over which the rate first rises in a straight line from nothing; a part of ``epochs``.
        optimizer: ``adam``, ``adamw`` or ``sgd`` (Nesterov momentum).
        momentum: of ``sgd``.
        weight_decay: decoupled from the gradient, per step and times the rate, on kernels alone; for ``adamw``
            and ``sgd``.
        ema_momentum: the model is a running mean of the weights with this momentum per step; 0 keeps them
            as they are.
        label_smoothing: share of each label that is spread over all classes.
        class_weight: ``balanced`` has every class count the same in the loss.
        image_size, seed, precision: instead of those that all strategies share.
    """

    head: HeadParams = HeadParams()
    epochs: Count
    patience: Count = 5
    keep: Literal["best", "last"] = "best"
    batch_size: Count = 32
    learning_rate: LearningRate
    schedule: Literal["constant", "cosine"] = "constant"
    warm_up_epochs: CountOrNone = 0
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    momentum: Fraction = 0.9
    weight_decay: Share = 0.0
    ema_momentum: Fraction = 0.0
    label_smoothing: Fraction = 0.0
    class_weight: Literal["none", "balanced"] = "none"
    image_size: ImageSize | None = None
    seed: Seed | None = None
    precision: Precision | None = None

    @model_validator(mode="after")
    def _optimisation_fits(self) -> FitParams:
        if self.warm_up_epochs >= self.epochs:
            raise ValueError(
                f"warm_up_epochs is {self.warm_up_epochs}, of {self.epochs} epochs in all. It should be fewer"
            )
        if self.weight_decay and self.optimizer == "adam":
            raise ValueError(
                f"weight_decay is {self.weight_decay:g}, which plain adam would turn into something else. "
                "Set optimizer: adamw, or weight_decay: 0"
            )
        return self


class TransferParams(FitParams):
    """What strategies with a pretrained backbone share."""

    backbone: BackboneParams | None = None


class MemberParams(Section):
    """One frozen network of several whose probabilities are averaged.

    Attributes:
        backbone: the network.
        image_size: S, in pixels a side.
        pooling: as of a head.
        mirrored: whether the head is given the mean of the features of the image and of its mirror image.
        weight: of its probabilities, relative to those of the others.
    """

    backbone: KerasBackboneParams
    image_size: Annotated[int, Field(ge=1)]
    pooling: Literal["average", "depths"] = "average"
    mirrored: bool = False
    weight: Annotated[float, Field(gt=0)] = 1.0


class FrozenParams(TransferParams):
    """Features of the frozen backbone computed once, then the head fitted to them.

    ``head: exact`` is short for ``solver: exact``. Where neither is named, settings of epochs, or of a head that takes
    epochs, choose ``sgd``.

    Attributes:
        solver: ``exact`` solves one dense layer to convergence, see :mod:`graft.networks.exact_head`, with the penalty
            that cross-validation within the training images chooses; ``sgd`` trains a head in epochs, as it takes where
            it has hidden layers or dropout.
        folds: of that cross-validation.
        members: several frozen networks, each with a head of its own, in the place of the one backbone.
        flip: the head also learns from the features of the training images mirrored along these axes.
    """

    PLACEHOLDERS: ClassVar[dict[str, Any]] = {"members": [], "backbone": None}

    kind: Literal["frozen"]
    solver: Literal["exact", "sgd"] = "exact"
    folds: Annotated[int, Field(ge=2, le=20)] = 5
    epochs: Count = 100
    patience: Count = 20
    learning_rate: LearningRate = 0.001
    members: list[MemberParams] = Field(default=[])
    flip: Flip = "none"

    @model_validator(mode="before")
    @classmethod
    def _chosen_solver(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        settings = dict(given)
        if settings.get("head") == "exact":
            settings["head"] = {}
            settings.setdefault("solver", "exact")
        named = _takes_epochs(settings)
        if "solver" not in settings and named:
            settings["solver"] = "sgd"
        elif settings.get("solver", "exact") == "exact" and named:
            raise ValueError(
                f"{named[0]} is set, but an exact head is one layer that is solved, and has no epochs. Leave "
                f"{named[0]} out, or set solver: sgd in the place of exact"
            )
        return settings

    def require_effect(self) -> None:
        """Raise ValueError where a setting is named that members, which have their own, would not be given."""
        if not self.members and "members" not in self.auto:
            return
        named = {
            "solver: sgd": self.solver == "sgd",  # also where settings of epochs have chosen it
            "flip": self.flip != "none",
            "head.pooling": self.head.pooling != "average",
            "image_size": self.image_size is not None,
            "backbone": self.backbone is not None,
        }
        if found := [name for name, is_named in named.items() if is_named]:
            raise ValueError(
                f"{found[0]} has no effect beside members, each of which is a network with a size, a pooling and a "
                "solved head of its own. Leave it and settings of epochs out, or set members: [] for one backbone"
            )

    @model_serializer(mode="wrap")
    def _without_what_has_no_effect(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        settings: dict[str, Any] = serialize(self)
        without = OF_EPOCHS if self.solver == "exact" else {"folds"}
        if self.solver == "exact" and "head" in settings:
            settings["head"] = {"pooling": self.head.pooling}
        return {name: value for name, value in settings.items() if name not in without}


# Settings that have no effect on a head that is solved: of the strategy, and of its head.
OF_EPOCHS = frozenset(FitParams.model_fields) - {"head", "class_weight", "image_size", "seed", "precision", "auto"}
OF_TRAINED_HEADS = frozenset(HeadParams.model_fields) - {"pooling"}


def _takes_epochs(settings: Mapping[str, Any]) -> list[str]:
    """Return names of the settings that only a head trained in epochs has."""
    head = settings.get("head")
    # What is neither is refused where the head is read.
    given = head.model_fields_set if isinstance(head, HeadParams) else set(head) if isinstance(head, dict) else set()
    named = OF_TRAINED_HEADS & given
    return [*sorted(OF_EPOCHS & set(settings)), *(f"head.{name}" for name in sorted(named))]


class FineTuneParams(TransferParams):
    """The backbone trained too, in part or whole, end to end with the head.

    Attributes:
        unfreeze: what of the backbone is trained: ``all``, the name of the first layer that is, how many of its last
            layers as Keras counts them (``5``), or which share of them (``0.25``).
        head_epochs: epochs for a head with hidden layers before the backbone is unfrozen; a linear head is solved, as
            under ``frozen``. 0 leaves both out. A head of random weights would send large, meaningless gradients into
            the backbone.
        head_learning_rate: of those epochs; Adam's own default suits a new head.
        layer_decay: factor on the rate from each layer with weights to the one below it; 1 trains all at one rate.
        batch_norm: ``inference`` keeps the statistics (and scales) of the pretrained network, ``update``
            lets batches move them, which needs large batches of images like those it was trained on.
        augment: random changes to the training images.
        views: 0 draws new changes in every epoch and runs the whole network end to end. With more, that many changed
            views of each image are drawn once and the frozen part's activations are stored, so that an epoch
            costs only what is trained; epochs take the views in turns.
    """

    PLACEHOLDERS: ClassVar[dict[str, Any]] = {
        "backbone": None,
        "unfreeze": "all",
        "epochs": 10,
        "learning_rate": 0.001,
        "augment": {},
        "views": 0,
    }

    kind: Literal["fine_tune"]
    unfreeze: Unfreeze
    head_epochs: CountOrNone = 10
    head_learning_rate: LearningRate = 0.001
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    batch_norm: Literal["inference", "update"] = "inference"
    augment: AugmentParams = AugmentParams()
    views: CountOrNone = 0

    @model_validator(mode="after")
    def _views_can_be_kept(self) -> FineTuneParams:
        for name in drawn_anew(self.augment) if self.views else []:
            raise ValueError(
                f"views is {self.views}, but augment.{name} is drawn anew in every epoch. "
                f"Set views: 0, or augment.{name}: 0"
            )
        return self


class ScratchParams(FitParams):
    """A network from random weights.

    Attributes:
        network: ``cnn``, or ``mlp``, a head alone on flattened pixels.
        filters: of each block of the CNN, which halves the image.
        convolutions: in each block.
        l2: penalty on the kernels of the CNN.
        activity_l1: penalty on what its convolutions answer, per image.
        augment: random changes to the training images.
    """

    PLACEHOLDERS: ClassVar[dict[str, Any]] = {"augment": {}, "epochs": 20}

    kind: Literal["scratch"]
    network: Literal["cnn", "mlp"] = "cnn"
    filters: list[Count] = Field(default=[32, 64, 128], min_length=1, max_length=6)
    convolutions: Annotated[int, Field(ge=1, le=4)] = 1
    l2: Share = 1e-4
    activity_l1: Share = 0.0
    augment: AugmentParams = AugmentParams()


StrategyParams = Annotated[FrozenParams | FineTuneParams | ScratchParams, Field(discriminator="kind")]
