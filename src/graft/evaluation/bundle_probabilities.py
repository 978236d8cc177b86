"""Compute a bundle's probabilities for many images: as graft serves it, or by a shorter way that is compared with that.

A bundle of which only the head was trained is given the features that training keeps in the feature store. On a sample
of the images its answers are compared with those of the bundle as it is served, and where they differ, that answers
for all.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from graft.bundle.model import HEAD, ImageClassifier, Part
from graft.bundle.record import read_settings
from graft.core.cluster import is_for_cluster
from graft.core.errors import first_line
from graft.core.params.backbone_params import BackboneParams
from graft.core.progress import console, progress_bar
from graft.networks.code_identity import code_identity
from graft.networks.decode_images import DecodedImages, LabelledImages, large_array
from graft.networks.engines.open_classifier import OpenVinoNetwork
from graft.networks.engines.openvino_run import saved_model_run
from graft.networks.engines.tensorflow_import import import_tensorflow
from graft.networks.features.compute import fill
from graft.networks.features.compute_on_cluster import Remote
from graft.networks.features.feature_store import FeatureStore

# Images, evenly spread, that the bundle itself predicts too; fewer than this it predicts alone.
SAMPLE = 32
# Largest difference of a probability: engines agree to 1e-4 of the largest feature, and a head weighs features.
TOLERANCE = 1e-3

# Side in pixels to the images at that size.
ImagesAt = Callable[[int], LabelledImages]


@dataclass(frozen=True)
class EvaluationInputs:
    """The images, and the cached features and weights that may be used for them.

    Attributes:
        images: asked for at each image size of the bundle.
        count: N.
        batch_size: images per forward pass of the bundle itself.
        store: the feature store; None stores nothing.
        cache: folder of downloaded weights.
    """

    images: ImagesAt
    count: int
    batch_size: int
    store: FeatureStore | None
    cache: Path


def bundle_probabilities(model: ImageClassifier, inputs: EvaluationInputs, label: str) -> np.ndarray:
    """Return the probabilities float32 ``[N, C]`` of a loaded bundle; progress bars show ``label``."""
    everything = np.arange(inputs.count)
    if inputs.count <= SAMPLE:
        return _served(model, inputs, everything, label)
    by_features = [_by_features(part, inputs, label) for part in model.parts]
    probabilities = np.zeros((inputs.count, len(model.classes)), np.float32)
    for part, outputs in zip(model.parts, by_features, strict=True):
        probabilities += part.weight * (_by_images(part, inputs, label) if outputs is None else outputs)
    if all(outputs is None for outputs in by_features):
        return probabilities
    sample = np.unique(np.linspace(0, inputs.count - 1, SAMPLE).astype(np.int64))
    expected = _served(model, inputs, sample, f"{label}, as served")
    difference = float(np.abs(probabilities[sample] - expected).max())
    if not difference <= TOLERANCE:
        console.print(
            f"{label}: what is served differs by {difference:.2g}: running that for all of them", soft_wrap=True
        )
        return _served(model, inputs, everything, label)
    return probabilities


def _served(model: ImageClassifier, inputs: EvaluationInputs, indices: np.ndarray, label: str) -> np.ndarray:
    """Return the bundle's probabilities for some of the images, computed as graft serves it."""
    images = {size: inputs.images(size) for size in model.image_sizes}
    if len(indices) == inputs.count:
        images = {size: DecodedImages(of_size.inputs) for size, of_size in images.items()}
    probabilities = np.empty((len(indices), len(model.classes)), np.float32)
    with progress_bar(label, len(indices)) as advance:
        for start in range(0, len(indices), inputs.batch_size):
            chosen = indices[start : start + inputs.batch_size]
            outputs = model.probabilities({size: of_size.at(chosen) for size, of_size in images.items()})
            probabilities[start : start + len(chosen)] = outputs
            advance(len(chosen))
    return probabilities


def _by_images(part: Part, inputs: EvaluationInputs, label: str) -> np.ndarray:
    """Return the network's outputs for the images, which are decoded once for all networks of a size."""
    outputs = np.empty((inputs.count, len(read_settings(part.bundle)["classes"])), np.float32)
    of_size = inputs.images(part.image_size)
    if is_for_cluster(inputs.count) and isinstance(part.network, OpenVinoNetwork):
        remote = Remote(partial(OpenVinoNetwork, part.bundle))
        fill(outputs, lambda _: part.network, of_size, label, remote=lambda: remote)
    else:
        fill(outputs, lambda _: part.network, DecodedImages(of_size.inputs), label)
    return outputs


def _by_features(part: Part, inputs: EvaluationInputs, label: str) -> np.ndarray | None:
    """Return the head's outputs for the images' cached features.

    None where the head was not trained alone, or the features cannot be had.
    """
    described = read_settings(part.bundle).get("features")
    if described is None or not (part.bundle / HEAD).is_dir():  # earlier bundles have none
        return None
    features = _features(part, described, inputs, label)
    if features is None:
        return None
    try:
        return saved_model_run(part.bundle / HEAD)(features)
    except Exception as error:
        # OpenVINO raises all kinds, for example where a network holds an operation that it does not know.
        console.print(
            f"{label}: OpenVINO does not take the head over ({first_line(error)}): running all of the network",
            soft_wrap=True,
        )
        return None


def _features(part: Part, described: dict[str, Any], inputs: EvaluationInputs, label: str) -> np.ndarray | None:
    """Return the features that the network's head takes, computing what the store lacks; None where that cannot be."""
    if inputs.store is None or described["description"]["code"] != code_identity():
        return None  # other code decodes the images now
    images = inputs.images(part.image_size)
    description, count = described["description"], described["count"]
    features = large_array((inputs.count, count), np.float32)
    if not len(inputs.store.space(description).read(images.keys, features)):
        return features  # without Keras, whose import takes longer than all else here
    import_tensorflow()
    from graft.networks.backbones import build_backbone
    from graft.networks.backbones.backbone import Backbone
    from graft.networks.features.frozen_backbone import FrozenBackbone

    def build() -> Backbone:
        params = TypeAdapter(BackboneParams).validate_python(described["backbone"])
        backbone = build_backbone(params, part.image_size, inputs.cache, described["pooling"])
        if FrozenBackbone.of(backbone, pooling=described["pooling"]).description != description:
            raise _OtherBackboneError
        return backbone

    frozen = FrozenBackbone.described(description, count, inputs.store, build)
    try:
        return frozen.features(images, label, out=features)
    except _OtherBackboneError:
        return None


class _OtherBackboneError(Exception):
    """There is another weights file now under the name of that which the bundle was trained with."""
