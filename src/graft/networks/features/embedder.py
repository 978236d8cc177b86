"""The project's backbone as a function from images to vectors, for whatever compares images rather than trains."""

import hashlib
import json

import numpy as np

from graft.core.params.train_params import TrainParams
from graft.core.project import Project
from graft.networks.decode_images import KeyedImages
from graft.networks.engines.tensorflow_import import import_tensorflow


class Embedder:
    """A backbone with its feature store; what it computes is shared with training.

    Attributes:
        image_size: side in pixels of the images that it takes.
        name: in words.
        identity: 12 hex digits that name all that decides what it answers.

    Raises:
        GraftError: the backbone or its weights cannot be had.
    """

    def __init__(self, project: Project, params: TrainParams) -> None:
        import_tensorflow()
        from graft.networks.backbones import default_image_size
        from graft.networks.features.feature_store import FeatureStore
        from graft.networks.features.frozen_backbone import frozen_backbone

        size = params.image_size if params.image_size != "auto" else default_image_size(params.backbone)
        self.image_size: int = size
        store = FeatureStore.of(project, params.store)
        self._backbone = frozen_backbone(params.backbone, size, project.cache, store)
        self.name = f"{params.backbone.name} at {size} pixels"
        described = json.dumps(self._backbone.identity, sort_keys=True)
        self.identity = hashlib.sha256(described.encode()).hexdigest()[:12]

    def features(self, images: KeyedImages, label: str) -> np.ndarray:
        """Return the features float32 ``[N, D]`` of images in order; the progress bar shows ``label``."""
        return self._backbone.features(images, label)
