"""Section `train` of params.yaml: the strategies by name, which of them run, and what they share."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from graft.core.errors import did_you_mean, shown
from graft.core.params.backbone_params import TRAIN_IT_WHOLE, BackboneParams, KerasBackboneParams
from graft.core.params.sections import Name, Section
from graft.core.params.strategy_params import (
    FineTuneParams,
    FrozenParams,
    ImageSize,
    Precision,
    Seed,
    StrategyParams,
    TransferParams,
)

# Of these, one image is 2.5 points of accuracy, and 90 % are known to 5 points (one standard error): with fewer, what
# chooses between strategies is luck.
FEW_IMAGES = 40
VALIDATION_FOLDS = 5  # each training sees 80 % of the images; more cost more and say little more


def _address(address: str) -> str:
    if address and not re.match(r"[a-z][a-z0-9+]*://.", address):
        raise ValueError(f"{shown(address)} is no address, such as s3://BUCKET/features or file:///mnt/share/features")
    return address


class StoreParams(Section):
    """The feature store.

    Attributes:
        limit_gb: gigabytes (10^9 bytes) on disk; above it, what was not used for the longest time goes.
        precision: of the numbers on disk. ``float16`` takes half the room, and is off by up to 1 in 2,000.
        shared: address of a copy that machines share, such as ``s3://BUCKET/features``: what one has computed, the
            others fetch. Whoever may write there decides what their models are trained on. ``""``: none.
    """

    limit_gb: Annotated[float, Field(ge=0)] = 20
    precision: Literal["float32", "float16"] = "float32"
    shared: Annotated[str, AfterValidator(_address)] = ""

    @property
    def limit_bytes(self) -> int:
        return round(self.limit_gb * 1e9)


class TrainParams(Section):
    """Set which strategies are trained, and what they share unless one says otherwise.

    Attributes:
        run: names of the strategies to train.
        image_size: pixels a side, or ``auto``: as stage choose measured, and for a strategy that names its own
            backbone, what that was made for.
        seed: initial weights, order of batches, dropout, augmentation.
        precision: of the arithmetic. ``auto`` is mixed_float16 where a network is trained on a GPU, else float32; a
            head on stored features is trained in float32 everywhere.
        validation: where the figures that choose come from: ``split``, the images of val; ``folds``, all images of
            train and val, each out of fold, by five more trainings; or ``auto``, folds where val has fewer than 40.
        deterministic: have TensorFlow use only operations that give the same bits each time, which costs speed.
        backbone: the pretrained network; a strategy may name its own.
        store: the store of what frozen networks make of images.
        strategies: by name.
    """

    run: Annotated[list[Name], Field(min_length=1)]
    image_size: ImageSize = 96
    seed: Seed = 7
    precision: Precision = "auto"
    validation: Literal["auto", "split", "folds"] = "auto"
    deterministic: bool = False
    backbone: BackboneParams
    store: StoreParams = StoreParams()
    strategies: dict[Name, StrategyParams]

    @model_validator(mode="after")
    def _run_names_strategies(self) -> TrainParams:
        for name in self.run:
            if name not in self.strategies:
                raise ValueError(
                    f"run names '{name}', which is not under train.strategies. {did_you_mean(name, self.strategies)}"
                )
        if len(set(self.run)) < len(self.run):
            raise ValueError(f"run names a strategy twice: {self.run}")
        return self

    @model_validator(mode="after")
    def _every_setting_has_an_effect(self) -> TrainParams:
        for name, strategy in self.strategies.items():
            if isinstance(strategy, FrozenParams):
                try:
                    strategy.require_effect()
                except ValueError as error:
                    raise ValueError(f"strategies.{name}.{error}") from None
            open_settings = {"members", "backbone"} & set(strategy.to_choose)
            if open_settings and not isinstance(self.backbone, KerasBackboneParams):
                raise ValueError(
                    f"backbone is {self.backbone.words}, and strategies.{name} would not use it: its "
                    f"{open_settings.pop()} is auto, for which networks of keras.applications alone are measured. "
                    "Leave that setting out"
                )
        return self

    @model_validator(mode="after")
    def _what_has_no_layers_is_taken_whole(self) -> TrainParams:
        for name in self.strategies:
            strategy = self.strategy(name)
            if not isinstance(strategy, TransferParams):
                continue
            backbone = strategy.backbone
            if backbone is None or not backbone.no_layers:
                continue
            if isinstance(strategy, FineTuneParams) and "backbone" not in strategy.auto:
                _refuse_parts_of(backbone, name, strategy)
            if strategy.head.pooling != "average":
                raise ValueError(
                    f"strategies.{name}.head.pooling is '{strategy.head.pooling}', but {backbone.words} answers with "
                    "features that are pooled already. Leave pooling out"
                )
        return self

    def validates_in_folds(self, val_images: int) -> bool:
        """Return whether validation figures come from folds of train and val, where val has so many images."""
        return self.validation == "folds" or (self.validation == "auto" and val_images < FEW_IMAGES)

    def strategy(self, name: str) -> StrategyParams:
        """Return one strategy, with the shared settings filled in where it names none of its own."""
        own = self.strategies[name]
        shared: dict[str, object] = {
            key: getattr(self, key) for key in ("image_size", "seed", "precision") if getattr(own, key) is None
        }
        if isinstance(own, TransferParams) and own.backbone is None:
            shared["backbone"] = self.backbone
        return own.model_copy(update=shared)


def _refuse_parts_of(backbone: BackboneParams, name: str, strategy: FineTuneParams) -> None:
    if backbone.is_frozen:
        raise ValueError(
            f"strategies.{name} is of kind fine_tune, but {backbone.words} is a frozen network. Set kind: frozen, or "
            "give it a keras backbone of its own"
        )
    if strategy.unfreeze != "all":
        raise ValueError(
            f"strategies.{name}.unfreeze is {strategy.unfreeze!r}, but {backbone.no_layers}. {TRAIN_IT_WHOLE}"
        )
    if strategy.layer_decay != 1:
        raise ValueError(
            f"strategies.{name}.layer_decay is {strategy.layer_decay:g}, but {backbone.words} has no layers to tell "
            "apart. Set layer_decay: 1, or use the same network as a keras backbone"
        )
