"""Pretrained networks, from whichever source, behind one small class.

The module of a source (``module`` of its class in :mod:`graft.core.params.backbone_params`) has three functions:

    build(params, image_size, cache, pooling)   the Backbone, weights loaded
    default_image_size(params)                  pixels a side of the images that it was made for
    weights_files(params, cache)                files here that its weights are taken from, in order
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graft.core.params.backbone_params import BackboneParams
from graft.core.params.strategy_params import Pooling

if TYPE_CHECKING:
    from graft.networks.backbones.backbone import Backbone


def _module(params: BackboneParams) -> Any:
    return importlib.import_module(f"{__name__}.{params.module}")


def build_backbone(params: BackboneParams, image_size: int, cache: Path, pooling: Pooling = "average") -> Backbone:
    """Return the backbone that ``params`` names, for images of ``image_size`` pixels a side, weights loaded.

    Raises:
        GraftError: it does not exist, cannot take images of that size, or its weights cannot be had.
    """
    backbone: Backbone = _module(params).build(params, image_size, cache, pooling)
    return backbone


def default_image_size(params: BackboneParams) -> int:
    """Return the pixels a side of the images that the backbone was made for.

    Raises:
        GraftError: it does not exist, or does not say.
    """
    size: int = _module(params).default_image_size(params)
    return size


def weights_files(params: BackboneParams, cache: Path) -> list[Path]:
    """Return the files here that the backbone's weights are taken from, in order; none where none are."""
    files: list[Path] = _module(params).weights_files(params, cache)
    return files
