"""Pretrained trunks, from whichever source, behind one small class."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from graft.core.params.backbone_params import HubBackboneParams, KerasBackboneParams
from graft.core.params.strategy_params import Pooling

if TYPE_CHECKING:
    from graft.networks.backbones.backbone import Backbone


def build_backbone(
    params: KerasBackboneParams | HubBackboneParams,
    image_size: int,
    cache: Path,
    pooling: Pooling = "average",
) -> Backbone:
    """The backbone that ``params`` names, for images of ``image_size`` pixels a side, weights loaded.

    Raises:
        GraftError: it does not exist, cannot take images of that size, or its weights cannot be had.
    """
    if isinstance(params, HubBackboneParams):
        from graft.networks.backbones import hub_module as hub

        return hub.build(params, image_size)
    from graft.networks.backbones import keras_applications

    return keras_applications.build(params, image_size, cache, pooling)


def default_image_size(params: KerasBackboneParams | HubBackboneParams) -> int:
    """Pixels a side of the images that the backbone was made for.

    Raises:
        GraftError: it does not exist, or does not say.
    """
    if isinstance(params, HubBackboneParams):
        from graft.networks.backbones import hub_module as hub

        return hub.default_image_size(params)
    from graft.networks.backbones import keras_applications

    return keras_applications.default_image_size(params.name)


def weights_files(params: KerasBackboneParams | HubBackboneParams, cache: Path) -> list[Path]:
    """Files here that the backbone's weights are taken from, in order; none where none are."""
    if isinstance(params, KerasBackboneParams) and params.weights == "imagenet":
        from graft.networks.backbones.weights import cached_weights

        return cached_weights(params.name, cache)
    return local_files(params)


def local_files(params: KerasBackboneParams | HubBackboneParams) -> list[Path]:
    """Files of the user's own that the backbone is made of, in order; their contents may change under their names."""
    if isinstance(params, KerasBackboneParams):
        own = [] if params.weights in ("imagenet", "none") else [Path(params.weights).expanduser()]
    else:
        own = [] if "://" in params.name else sorted(Path(params.name).expanduser().rglob("*"))
    return [path for path in own if path.is_file()]
