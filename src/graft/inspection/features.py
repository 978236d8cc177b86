"""Features of images from the project's backbone, for looking at data rather than for training on it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from graft.params.strategies import HubBackboneParams, KerasBackboneParams
from graft.tensorflow_import import import_tensorflow


def image_features(
    root: Path,
    paths: Sequence[str],
    backbone: KerasBackboneParams | HubBackboneParams,
    image_size: Literal["auto"] | int,
    cache: Path,
) -> tuple[np.ndarray, str]:
    """Features float32 ``[N, D]`` of images in order, and the backbone that gave them, in words.

    Args:
        root: the folder that ``paths`` are relative to.
        paths: one per image, with forward slashes.
        backbone: as params.yaml names it.
        image_size: side in pixels; auto is the backbone's own.
        cache: where downloaded weights are kept.

    Raises:
        GraftError: the backbone or its weights cannot be had, or an image is gone since it was scanned.
    """
    import_tensorflow()
    from graft.backbones import build_backbone, default_image_size
    from graft.training.activations import activations
    from graft.training.images import load_images

    if image_size == "auto":
        image_size = default_image_size(backbone)
    built = build_backbone(backbone, image_size, cache)
    pixels = load_images(root, paths, image_size, "Decoding images")
    return activations(built.model, pixels, "Features"), f"{built.name} at {image_size} pixels"
