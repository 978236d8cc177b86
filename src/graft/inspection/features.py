"""Features of images from the project's backbone, for looking at data rather than for training on it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from graft.params.strategies import TrainParams
from graft.project import Project
from graft.tensorflow_import import import_tensorflow
from graft.timing import StageClock


def image_features(
    project: Project, paths: Sequence[str], sha256: Sequence[str], params: TrainParams
) -> tuple[np.ndarray, str]:
    """Features float32 ``[N, D]`` of images in order, and the backbone that gave them, in words.

    They are computed once, and shared with training.

    Args:
        project: where the images and the feature store are.
        paths: relative to data/, one per image, with forward slashes.
        sha256: of each image's file, hexadecimal.
        params: names backbone and image size.

    Raises:
        GraftError: the backbone or its weights cannot be had, or an image is gone since it was scanned.
    """
    import_tensorflow()
    from graft.backbones import build_backbone, default_image_size
    from graft.features.pooled import pooled_features
    from graft.features.store import FeatureStore
    from graft.training.images import Photographs

    size = params.image_size if params.image_size != "auto" else default_image_size(params.backbone)
    backbone = build_backbone(params.backbone, size, project.cache)
    labels = np.zeros(len(paths), np.int64)
    images = Photographs(project.data, paths, sha256, labels, size, "", StageClock("inspect"), "")
    store = FeatureStore(project.features, params.store.limit_bytes, params.store.precision)
    return pooled_features(backbone, images, "Features", store), f"{backbone.name} at {size} pixels"
