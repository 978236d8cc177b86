"""The settings of params.yaml as typed models: one class per section, one per kind of strategy.

Types are strict (``"3"`` is not a number) and unknown keys are refused, so that a typo can never pass for a
setting. Every default here equals the value that params.yaml ships with or is the neutral one.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, Field, model_validator

from graft.core.errors import shown
from graft.core.params.choose_params import ChooseParams
from graft.core.params.compute_params import ComputeParams
from graft.core.params.decide_params import DecideParams
from graft.core.params.ensemble_params import EnsembleParams
from graft.core.params.extra_params import ExtraExpectation
from graft.core.params.gate_params import GateParams
from graft.core.params.monitor_params import MonitorParams
from graft.core.params.prune_params import PruneParams
from graft.core.params.retrain_params import RetrainParams
from graft.core.params.sections import Count, Fraction, ImageSeverity, Section, Severity, Share
from graft.core.params.serve_params import ServeParams
from graft.core.params.sweep_params import SweepParams
from graft.core.params.train_params import TrainParams

# What split.group_by may be besides a regular expression.
GROUP_BY_NAMES = ("none", "column", "near_duplicates")
# graft.bundle.images.READABLE_FORMATS
Format = Literal["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM", "HEIF", "AVIF", "JPEG2000"]


def _fraction_or_number(size: float) -> float:
    if not (0 < size < 1 or (size >= 1 and size == int(size))):
        raise ValueError(f"{size:g} is neither a fraction between 0 and 1 nor a whole number of images")
    return size


def _grouping(group_by: str) -> str:
    if group_by in GROUP_BY_NAMES:
        return group_by
    try:
        pattern = re.compile(group_by)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"{shown(group_by)} is not a regular expression ({error})") from None
    if "group" not in pattern.groupindex and pattern.groups != 1:
        raise ValueError(
            f"{group_by!r} has {pattern.groups} capture groups. It should be none, column, or a regular "
            "expression over the path that captures the group in its only parentheses, or in (?P<group>...)"
        )
    return group_by


Size = Annotated[float, AfterValidator(_fraction_or_number)]


class ValidateSeverity(Section):
    """Set how grave it is that raw images break a rule of :mod:`graft.data.checks.photograph_rules`.

    ``leave_out`` sets the images aside and lists them, ``error`` stops, ``warn`` is shown, ``off`` is not checked.
    """

    has_images: Severity = "error"
    few_left_out: Severity = "error"
    classes_kept: Severity = "error"
    readable: ImageSeverity = "leave_out"
    labelled: Severity = "error"
    large_enough: ImageSeverity = "leave_out"
    not_too_large: ImageSeverity = "leave_out"
    hashed: Severity = "error"
    known_format: ImageSeverity = "leave_out"
    full_range: Severity = "warn"
    aspect: ImageSeverity = "warn"
    several_classes: Severity = "error"
    known_classes: Severity = "error"
    no_conflicting_labels: ImageSeverity = "leave_out"
    near_duplicates_agree: Severity = "warn"
    no_copies_in_class: Severity = "warn"
    no_copies_across_splits: Severity = "warn"
    enough_per_class: Severity = "warn"
    balanced: Severity = "warn"


class ValidateParams(Section):
    """Set what the raw images must be like before anything is trained on them.

    Attributes:
        max_left_out: of all images, those that may be left out, for whatever reason.
        min_images_per_class: images of each class outside test.
        min_side_px: of an image's shorter side.
        max_pixels: width times height.
        formats: what files may be, by Pillow's names; MPO, which cameras write, counts as JPEG.
        max_aspect: longest side by shortest.
        max_imbalance: images of the largest class by those of the smallest.
        near_duplicate_bits: of 64, in which the perceptual hashes of near-duplicates may differ.
        near_duplicate_difference: root mean square between their thumbnails, in parts of the value range.
        severity: of each rule.
        extra: expectations of Great Expectations of the user's own.
    """

    max_left_out: Share = 0.05
    min_images_per_class: Count = 10
    min_side_px: Count = 8
    max_pixels: Count = 100_000_000
    formats: list[Format] = Field(default=list(get_args(Format)), min_length=1)
    max_aspect: Annotated[float, Field(ge=1)] = 4
    max_imbalance: Annotated[float, Field(ge=1)] = 25
    # Each bit more makes another band, and shorter ones: beyond 8, bands of 7 bits would tell little apart.
    near_duplicate_bits: Annotated[int, Field(ge=0, le=8)] = 4
    near_duplicate_difference: Share = 0.02
    severity: ValidateSeverity = ValidateSeverity()
    extra: list[ExtraExpectation] = Field(default=[])

    @model_validator(mode="after")
    def _names_are_free(self) -> ValidateParams:
        taken = sorted({one.rule for one in self.extra} & set(ValidateSeverity.model_fields))
        if taken:
            raise ValueError(
                f"extra calls an expectation '{taken[0]}', which is a rule of graft's: give it another name"
            )
        return self


class SplitSeverity(Section):
    """Set what happens where a split breaks a rule: those of :mod:`graft.data.checks.split_rules`, by name."""

    no_leaked_copies: Severity = "error"
    no_near_duplicates_in_test: Severity = "error"
    no_near_duplicates_in_val: Severity = "warn"
    split_sizes: Severity = "warn"
    class_proportions: Severity = "warn"


class SplitParams(Section):
    """Set how images are divided into train, val and test.

    Attributes:
        method: ``official`` (train/ and test/ folders), ``stratified`` (image by image), ``group`` (whole groups),
            ``k_fold`` (test is one of ``folds`` parts; by whole groups where ``group_by`` names them), or
            ``auto``: official where the data has that, else group where ``group_by`` names groups, else stratified;
            near-duplicates, and series that names tell and thumbnails confirm, stay together then.
        group_by: what may not be torn apart: ``none``, ``column`` (groups that the data brings: the column of
            an imported table, or folders ``group=NAME``), ``near_duplicates`` (as stage validate
            found them), or a regular expression searched in each path, whose capture group (the only one, or the
            one named ``group``) is the group.
        test_size: of all images, a fraction or a number; only where neither data nor fold says what test is.
        val_size: of the images that are not in test, a fraction or a number; only where the data brings no val.
        new_to_test: share of the groups that come after an official split which are kept as test images of their own,
            beside the official ones; 0 for none.
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
    new_to_test: Fraction = 0.0
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
            raise ValueError(f"fold is {self.fold}, but with folds: {self.folds} the folds are 0 to {self.folds - 1}")
        if self.new_to_test and self.method not in ("auto", "official"):
            raise ValueError("new_to_test is for an official split: with another method new images are in test anyway")
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


class EvaluateParams(Section):
    """Set how the test split is run through the models."""

    batch_size: Count = 64


class RegisterParams(Section):
    """Set how the best strategy or ensemble is chosen and under which name it is registered."""

    metric: Literal["log_loss", "accuracy", "macro_f1"] = "log_loss"
    model_name: str = "auto"


class Params(Section):
    """The whole of params.yaml."""

    validate_: ValidateParams = Field(alias="validate")
    split: SplitParams
    choose: ChooseParams = ChooseParams()
    train: TrainParams
    ensemble: EnsembleParams
    sweep: SweepParams = SweepParams()
    evaluate: EvaluateParams
    register_: RegisterParams = Field(alias="register")
    decide: DecideParams = DecideParams()
    gate: GateParams = GateParams()
    compute: ComputeParams = ComputeParams()
    serve: ServeParams = ServeParams()
    monitor: MonitorParams = MonitorParams()
    retrain: RetrainParams = RetrainParams()
    prune: PruneParams = PruneParams()

    @model_validator(mode="after")
    def _ensembles_fit(self) -> Params:
        self.ensemble.check_against(self.train.run, list(self.train.strategies))
        return self
