"""A network of ``keras.applications`` whole, with the head that tells ImageNet's 1000 classes apart."""

from __future__ import annotations

import os
from pathlib import Path

import keras

from graft.core.params.backbone_params import KerasBackboneParams
from graft.networks.backbones.keras_applications import as_pretrained, find_application, image_size_of, input_scaling
from graft.networks.backbones.weights import load_weights


def imagenet_network(name: str, weights: Path | None, cache: Path) -> tuple[keras.Model, str]:
    """Return a network with its head, and by which road its weights came, in words.

    Args:
        name: of a model in ``keras.applications``.
        weights: a file with the weights of the whole network; by default those of ImageNet.
        cache: folder for downloads and for weights once loaded.

    Returns:
        Images float32 ``[N, S, S, 3]``, RGB in 0..255, in the size that the network was trained for, to logits
        float32 ``[N, 1000]``.

    Raises:
        GraftError: no such model, or its weights cannot be had.
    """
    application = find_application(name)
    network = application(include_top=True, weights=None, classifier_activation=None)
    if name.startswith("EfficientNetB"):
        network = as_pretrained(network)
    # As an absolute path a file called imagenet or none cannot be taken for these words.
    own = "imagenet" if weights is None else os.path.abspath(weights.expanduser())  # noqa: PTH100
    params = KerasBackboneParams(source="keras", name=name, weights=own)
    source = load_weights(network, params, cache, include_top=True)
    size = image_size_of(name)
    inputs = keras.Input((size, size, 3), dtype="float32", name="image")
    outputs = network(input_scaling(application)(inputs))
    return keras.Model(inputs, outputs, name="imagenet_network"), source
