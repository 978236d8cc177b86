"""A network of ``keras.applications`` whole, with the head that tells ImageNet's 1000 classes apart."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from graft.core.params.backbone_params import KerasBackboneParams
from graft.networks.backbones.backbone import weights_digest
from graft.networks.backbones.keras_applications import as_pretrained, find_application, image_size_of, input_scaling
from graft.networks.backbones.weights import load_weights
from graft.networks.imagenet.class_names import imagenet_class_names


@dataclass(frozen=True)
class ImageNetClassifier:
    """A pretrained network as it is.

    Attributes:
        name: as in ``keras.applications``.
        model: float32 ``[N, S, S, 3]``, RGB in 0..255, to float32 ``[N, C]``, probabilities that sum to 1.
        classes: C names.
        weights_source: the road by which the weights came, in words.
        weights_digest: see :func:`graft.networks.backbones.backbone.weights_digest`.
    """

    name: str
    model: keras.Model
    classes: list[str]
    weights_source: str
    weights_digest: str

    @property
    def image_size(self) -> int:
        return int(self.model.input_shape[1])

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """float32 ``[N, C]`` for uint8 images ``[N, S, S, 3]``, RGB."""
        # Called rather than predict(), which would trace a graph first: a few photographs do not win that back.
        answers = self.model(images.astype(np.float32), training=False)
        return keras.ops.convert_to_numpy(answers)


def load_imagenet_classifier(name: str, weights: Path | None, cache: Path) -> ImageNetClassifier:
    """The network with its head, in the size of images that it was trained for.

    Args:
        name: of a model in ``keras.applications``.
        weights: a file with the weights of the whole network; by default those of ImageNet.
        cache: folder for downloads and for weights once loaded.

    Raises:
        GraftError: no such model, or its weights or the names of the classes cannot be had.
    """
    application = find_application(name)
    network = application(include_top=True, weights=None)
    if name.startswith("EfficientNetB"):
        network = as_pretrained(network)
    # As an absolute path a file called imagenet or none cannot be taken for these words.
    own = "imagenet" if weights is None else os.path.abspath(weights.expanduser())  # noqa: PTH100
    params = KerasBackboneParams(source="keras", name=name, weights=own)
    source = load_weights(network, params, cache, include_top=True)
    classes = imagenet_class_names(cache)

    size = image_size_of(name)
    inputs = keras.Input((size, size, 3), dtype="float32", name="image")
    outputs = network(input_scaling(application)(inputs))
    return ImageNetClassifier(
        name=name,
        model=keras.Model(inputs, outputs, name="imagenet_classifier"),
        classes=classes,
        weights_source=source,
        weights_digest=weights_digest(network.weights),
    )
