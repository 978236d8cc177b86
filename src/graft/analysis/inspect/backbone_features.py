"""Features of images from the project's backbone, for looking at data rather than for training on it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from graft.core.params.train_params import TrainParams
from graft.core.project import Project


def image_features(
    project: Project, paths: Sequence[str], sha256: Sequence[str], params: TrainParams
) -> tuple[np.ndarray, str]:
    """Features float32 ``[N, D]`` of images in order, and the backbone that gave them, in words.

    They are computed once, and shared with training.

    Args:
        project: where the images and the feature store are.
        paths: relative to data/, one per image, with forward slashes.
        sha256: of each image's file, hexadecimal.

    Raises:
        GraftError: the backbone or its weights cannot be had, or an image is gone since it was scanned.
    """
    from graft.networks.decode_images import Photographs
    from graft.networks.features.embedder import Embedder

    embedder = Embedder(project, params)
    images = Photographs(project.data, paths, sha256, embedder.image_size)
    return embedder.features(images, "Features"), embedder.name
