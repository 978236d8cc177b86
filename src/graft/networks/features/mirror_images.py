"""Features of an image as it is, or of it and its mirror image."""

import numpy as np

from graft.networks.decode_images import KeyedImages, large_array
from graft.networks.features.frozen_backbone import FrozenBackbone

# Along the width of ``[N, S, S, 3]``.
MIRROR = (2,)


def view_features(backbone: FrozenBackbone, images: KeyedImages, label: str, mirrored: bool) -> np.ndarray:
    """Return features float32 ``[N, D]``; with ``mirrored`` the mean of those of each image and of its mirror image.

    A linear head's logits of the mean of two features are the mean of its logits: one head serves both views.

    Args:
        backbone: computes them, each once.
        images: N of them.
        label: what progress bars call it.
        mirrored: whether mirror images count as much as the images.
    """
    features = large_array((len(images), backbone.feature_count), np.float32)
    backbone.features(images, label, (), features)
    if mirrored:
        features += backbone.features(images, f"{label}, mirror images", MIRROR)
        features /= 2
    return features
