"""The settings of params.yaml as typed models: one class per section, one per kind of strategy.

Types are strict (``"3"`` is not a number) and unknown keys are refused, so that a typo can never pass for a
setting. Every default here equals the value that params.yaml ships with or is the neutral one.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from graft.errors import did_you_mean

# Names become folder names, DVC stage names and MLflow tags.
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,63}$")]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
LearningRate = Annotated[float, Field(gt=0, le=10)]
Flip = Literal["none", "horizontal", "vertical", "horizontal_and_vertical"]


# What split.group_by may be besides a regular expression.
GROUP_BY_NAMES = ("none", "column", "near_duplicates")
RunSeverity = Literal["error", "warn"]
# YAML 1.1 reads off as false; whoever writes params.yaml with such a tool means the same.
Severity = Annotated[
    Literal["error", "warn", "off"], BeforeValidator(lambda value: "off" if value is False else value)
]
Format = Literal[
    "JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM"
]  # graft.inference.images.READABLE_FORMATS


def _fraction_or_number(size: float) -> float:
    if not (0 < size < 1 or (size >= 1 and size == int(size))):
        raise ValueError(f"{size:g} is neither a fraction between 0 and 1 nor a whole number of images")
    return size


def _grouping(group_by: str) -> str:
    if group_by in GROUP_BY_NAMES:
        return group_by
    try:
        pattern = re.compile(group_by)
    except re.error as error:
        raise ValueError(f"{group_by!r} is not a regular expression ({error})") from None
    if "group" not in pattern.groupindex and pattern.groups != 1:
        raise ValueError(
            f"{group_by!r} has {pattern.groups} capture groups. It should be none, column, or a regular "
            "expression over the path that captures the group in its only parentheses, or in (?P<group>...)"
        )
    return group_by


Size = Annotated[float, AfterValidator(_fraction_or_number)]


class Section(BaseModel):
    """Base of every section: strict types, no unknown keys, immutable."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class ValidateSeverity(Section):
    """What happens where the raw images break a rule: ``error`` stops, ``warn`` is shown, ``off`` is not checked.

    Each attribute is a rule of :mod:`graft.data.expectations`.
    """

    has_images: Severity = "error"
    readable: Severity = "error"
    labelled: Severity = "error"
    large_enough: Severity = "error"
    not_too_large: Severity = "error"
    hashed: Severity = "error"
    known_format: Severity = "error"
    aspect: Severity = "warn"
    several_classes: Severity = "error"
    known_classes: Severity = "error"
    no_conflicting_labels: Severity = "error"
    near_duplicates_agree: Severity = "warn"
    no_copies_in_class: Severity = "warn"
    no_copies_across_splits: Severity = "warn"
    enough_per_class: Severity = "error"
    balanced: Severity = "warn"


class ValidateParams(Section):
    """What the raw images must be like before anything is trained on them.

    Attributes:
        min_images_per_class: readable images of each class outside test.
        max_broken_share: of all files, those that may be unreadable.
        min_side_px: of an image's shorter side.
        max_pixels: width times height.
        formats: what files may be, by Pillow's names; MPO, which cameras write, counts as JPEG.
        max_aspect: longest side by shortest.
        max_imbalance: images of the largest class by those of the smallest.
        near_duplicate_bits: of 64, in which the perceptual hashes of near-duplicates may differ.
        near_duplicate_difference: root mean square between their thumbnails, in parts of the value range.
        severity: of each rule.
    """

    min_images_per_class: Count = 10
    max_broken_share: Share = 0.02
    min_side_px: Count = 8
    max_pixels: Count = 100_000_000
    formats: Annotated[list[Format], Field(min_length=1)] = list(get_args(Format))
    max_aspect: Annotated[float, Field(ge=1)] = 4
    max_imbalance: Annotated[float, Field(ge=1)] = 25
    # Each bit more makes another band, and shorter ones: beyond 8, bands of 7 bits would tell little apart.
    near_duplicate_bits: Annotated[int, Field(ge=0, le=8)] = 4
    near_duplicate_difference: Share = 0.02
    severity: ValidateSeverity = ValidateSeverity()


class SplitSeverity(Section):
    """What happens where a split breaks a rule; each attribute is a rule of :mod:`graft.data.split_expectations`."""

    no_leaked_copies: Severity = "error"
    no_near_duplicates_in_test: Severity = "error"
    no_near_duplicates_in_val: Severity = "warn"
    split_sizes: Severity = "warn"
    class_proportions: Severity = "warn"


class SplitParams(Section):
    """How images are divided into train, val and test.

    Attributes:
        method: ``official`` (train/ and test/ folders), ``stratified`` (image by image), ``group`` (whole groups),
            ``k_fold`` (test is one of ``folds`` parts; by whole groups where ``group_by`` names them), or
            ``auto``: official where the data has that, else group where ``group_by`` names groups, else stratified.
        group_by: what may not be torn apart: ``none``, ``column`` (groups that the data brings: the column of
            an imported table, or folders ``group=NAME``), ``near_duplicates`` (as stage validate
            found them), or a regular expression searched in each path, whose capture group (the only one, or the
            one named ``group``) is the group.
        test_size: of all images, a fraction or a number; only where neither data nor fold says what test is.
        val_size: of the images that are not in test, a fraction or a number; only where the data brings no val.
        folds: parts of ``k_fold``.
        fold: which of them is test, from 0.
        seed: of the assignment.
        max_near_duplicate_share: of the images of val and test, those with a near-duplicate nearer to training.
        min_images: in each part.
        size_tolerance: between the share of images that a part was to have and the one it has.
        max_class_difference: between a class's share of the images of train and of val or test.
        severity: of each rule.
    """

    method: Literal["auto", "official", "stratified", "group", "k_fold"] = "auto"
    group_by: Annotated[str, AfterValidator(_grouping)] = "none"
    val_size: Size = 0.15
    test_size: Size = 0.2
    folds: Annotated[int, Field(ge=2)] = 5
    fold: Annotated[int, Field(ge=0)] = 0
    seed: int = 13
    max_near_duplicate_share: Share = 0.05
    min_images: Count = 20
    size_tolerance: Share = 0.1
    max_class_difference: Share = 0.15
    severity: SplitSeverity = SplitSeverity()

    @model_validator(mode="after")
    def _method_fits(self) -> SplitParams:
        if self.fold >= self.folds:
            raise ValueError(
                f"fold is {self.fold}, but with folds: {self.folds} the folds are 0 to {self.folds - 1}"
            )
        if self.method == "group" and self.group_by == "none":
            raise ValueError(
                "method is group, but group_by is none. Set group_by to near_duplicates, to column, or to a "
                "regular expression over the path such as '(.+)-[0-9]+'"
            )
        if self.method == "stratified" and self.group_by != "none":
            raise ValueError(
                "method is stratified, which divides image by image and would tear the groups of group_by "
                "apart. Set method to group, or group_by to none"
            )
        return self


class KerasBackboneParams(Section):
    """A ``keras.applications`` model by name."""

    source: Literal["keras"]
    name: str = "MobileNetV2"
    weights: str = "imagenet"


class HubBackboneParams(Section):
    """A TensorFlow Hub image feature-vector module: a handle (https://...) or a local folder."""

    source: Literal["hub"]
    name: str


BackboneParams = Annotated[KerasBackboneParams | HubBackboneParams, Field(discriminator="source")]


class AugmentParams(Section):
    """Random changes to training images; every amount is a maximum, 0 or none switches it off.

    Attributes:
        flip: mirror along an axis, each image with probability 1/2.
        rotate: fraction of a full turn, either way.
        zoom: fraction of the side, in and out.
        translate: fraction of the side, each direction.
        contrast: factor drawn from [1 - contrast, 1 + contrast].
        brightness: fraction of the value range, either way.
    """

    flip: Flip = "none"
    rotate: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    zoom: Annotated[float, Field(ge=0, lt=1)] = 0.0
    translate: Annotated[float, Field(ge=0, lt=1)] = 0.0
    contrast: Annotated[float, Field(ge=0, lt=1)] = 0.0
    brightness: Annotated[float, Field(ge=0, le=1)] = 0.0


class FitParams(Section):
    """What every kind of strategy shares: the optimisation and what guards it."""

    epochs: Count
    patience: Count = 5
    batch_size: Count = 32
    learning_rate: LearningRate
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    class_weight: Literal["none", "balanced"] = "none"
    image_size: Count | None = None


class TransferParams(FitParams):
    """What strategies with a pretrained trunk share."""

    backbone: BackboneParams | None = None


class FrozenParams(TransferParams):
    """Features of the frozen backbone computed once, then the head trained on them.

    Attributes:
        flip: the head also learns from the features of the training images mirrored along these axes.
    """

    kind: Literal["frozen"]
    flip: Flip = "none"


class FineTuneParams(TransferParams):
    """The backbone trained too, from a named layer up or whole, end to end with the head.

    Attributes:
        unfreeze_from: name of the first layer that is trained, or ``all``.
        warm_up_epochs: epochs for the head alone before the trunk is unfrozen. A head of random weights would
            send large, meaningless gradients into the trunk.
        warm_up_learning_rate: of those epochs; Adam's own default suits a new head.
        batch_norm: ``inference`` keeps the statistics (and scales) of the pretrained network, ``update``
            lets batches move them, which needs large batches of images like those it was trained on.
        augment: random changes to the training images.
    """

    kind: Literal["fine_tune"]
    unfreeze_from: str
    warm_up_epochs: Annotated[int, Field(ge=0)] = 10
    warm_up_learning_rate: LearningRate = 0.001
    batch_norm: Literal["inference", "update"] = "inference"
    augment: AugmentParams = AugmentParams()


class ScratchParams(FitParams):
    """A small CNN from random weights: blocks of convolution, batch norm, relu and pooling."""

    kind: Literal["scratch"]
    filters: Annotated[list[Count], Field(min_length=1, max_length=6)] = [32, 64, 128]
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 1e-4
    augment: AugmentParams = AugmentParams()


StrategyParams = Annotated[FrozenParams | FineTuneParams | ScratchParams, Field(discriminator="kind")]


class TrainParams(Section):
    """Which strategies are trained, and what they share unless one says otherwise."""

    run: Annotated[list[Name], Field(min_length=1)]
    image_size: Count = 96
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 7
    backbone: BackboneParams
    strategies: dict[Name, StrategyParams]

    @model_validator(mode="after")
    def _run_names_strategies(self) -> TrainParams:
        for name in self.run:
            if name not in self.strategies:
                raise ValueError(
                    f"run names '{name}', which is not under train.strategies. "
                    f"{did_you_mean(name, self.strategies)}"
                )
        if len(set(self.run)) < len(self.run):
            raise ValueError(f"run names a strategy twice: {self.run}")
        return self

    def strategy(self, name: str) -> StrategyParams:
        """One strategy with the shared backbone and image size filled in where it names none of its own."""
        own = self.strategies[name]
        shared: dict[str, object] = {}
        if own.image_size is None:
            shared["image_size"] = self.image_size
        if isinstance(own, TransferParams) and own.backbone is None:
            shared["backbone"] = self.backbone
        return own.model_copy(update=shared)


class EvaluateParams(Section):
    """How the test split is run through the models."""

    batch_size: Count = 64


class RegisterParams(Section):
    """How the best strategy is chosen and under which name it is registered."""

    metric: Literal["log_loss", "accuracy", "macro_f1"] = "log_loss"
    model_name: str = "auto"


class Params(Section):
    """The whole of params.yaml."""

    validate_: ValidateParams = Field(alias="validate")
    split: SplitParams
    train: TrainParams
    evaluate: EvaluateParams
    register_: RegisterParams = Field(alias="register")
