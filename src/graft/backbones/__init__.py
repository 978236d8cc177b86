"""Pretrained trunks, from whichever source, behind one small class."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from graft.params.models import HubBackboneParams, KerasBackboneParams

if TYPE_CHECKING:
    from graft.backbones.backbone import Backbone


def build_backbone(params: KerasBackboneParams | HubBackboneParams, image_size: int, cache: Path) -> Backbone:
    """The backbone that ``params`` names, for images of ``image_size`` pixels a side, weights loaded.

    Raises:
        GraftError: it does not exist, cannot take images of that size, or its weights cannot be had.
    """
    if isinstance(params, HubBackboneParams):
        from graft.backbones import hub

        return hub.build(params, image_size)
    from graft.backbones import keras_applications

    return keras_applications.build(params, image_size, cache)
