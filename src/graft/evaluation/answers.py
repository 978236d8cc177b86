"""A bundle's probabilities for many images: by ways that are quicker than TensorFlow's, and held against it.

A bundle of which only the head was trained is given the features that training keeps in the feature store; any other
is run by OpenVINO, several times as fast on a CPU as TensorFlow. Both are compared with the bundle as it is served, on
a sample of the images, and where they differ, the bundle itself answers for all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from graft.errors import GraftError, first_line
from graft.features.extraction import fill
from graft.features.store import FeatureStore
from graft.inference.model import SAVED_MODEL, ImageClassifier, Part, SavedModelNetwork
from graft.inference.record import read_settings
from graft.openvino_run import saved_model_run
from graft.params.strategies import BackboneParams
from graft.progress import console, progress_bar
from graft.training.devices import gpu_count
from graft.training.images import DecodedImages, LabelledImages, large_array

# Images that the bundle itself answers for too, evenly spread; fewer than this it answers for alone.
SAMPLE = 32
# Largest difference of a probability: engines agree to 1e-4 of the largest feature, and a head weighs features.
TOLERANCE = 1e-3

# Side in pixels to the images at that size.
ImagesAt = Callable[[int], LabelledImages]


@dataclass(frozen=True)
class Roads:
    """The images to answer for, and what there is to answer with.

    Attributes:
        images: asked for at each image size of the bundle.
        count: N.
        batch_size: images per forward pass of the bundle itself.
        store: where features are kept; None keeps none.
        cache: folder of downloaded weights.
    """

    images: ImagesAt
    count: int
    batch_size: int
    store: FeatureStore | None
    cache: Path


def bundle_probabilities(model: ImageClassifier, roads: Roads, label: str) -> np.ndarray:
    """Probabilities float32 ``[N, C]`` of a loaded bundle; ``label`` is what progress bars call it."""
    everything = np.arange(roads.count)
    if roads.count <= SAMPLE or gpu_count():
        return _served(model, roads, everything, label)
    try:
        answers = sum(part.weight * _part_probabilities(part, roads, label) for part in model.parts)
    except GraftError:
        raise  # about the images, or the weights
    except Exception as error:
        # OpenVINO raises all kinds, for example where a network holds an operation that it does not know.
        console.print(
            f"{label}: OpenVINO does not take the bundle over ({first_line(error)}): running it with TensorFlow",
            soft_wrap=True,
        )
        return _served(model, roads, everything, label)
    probabilities = np.asarray(answers, np.float32)
    sample = np.unique(np.linspace(0, roads.count - 1, SAMPLE).astype(np.int64))
    expected = _served(model, roads, sample, f"{label}, as served")
    difference = float(np.abs(probabilities[sample] - expected).max())
    if not difference <= TOLERANCE:
        console.print(
            f"{label}: what is served differs by {difference:.2g}: running that for all of them",
            soft_wrap=True,
        )
        return _served(model, roads, everything, label)
    return probabilities


def _served(model: ImageClassifier, roads: Roads, indices: np.ndarray, label: str) -> np.ndarray:
    """Answers of the bundle as it is served, for some of the images."""
    images = {size: roads.images(size) for size in model.image_sizes}
    if len(indices) == roads.count:
        images = {size: DecodedImages(of_size.inputs) for size, of_size in images.items()}
    probabilities = np.empty((len(indices), len(model.classes)), np.float32)
    with progress_bar(label, len(indices)) as advance:
        for start in range(0, len(indices), roads.batch_size):
            chosen = indices[start : start + roads.batch_size]
            answers = model.probabilities({size: of_size.at(chosen) for size, of_size in images.items()})
            probabilities[start : start + len(chosen)] = answers
            advance(len(chosen))
    return probabilities


def _part_probabilities(part: Part, roads: Roads, label: str) -> np.ndarray:
    settings = read_settings(part.bundle)
    if isinstance(part.network, SavedModelNetwork):
        features = _features(part, part.network, settings.get("features"), roads, label)
        if features is not None:
            return part.network.probabilities_of_features(features)
    run = saved_model_run(part.bundle / SAVED_MODEL)
    outputs = large_array((roads.count, len(settings["classes"])), np.float32)
    # Decoded once for all networks of this size.
    fill(outputs, lambda _: run, DecodedImages(roads.images(part.image_size).inputs), label)
    return outputs


def _features(
    part: Part, network: SavedModelNetwork, described: dict[str, Any] | None, roads: Roads, label: str
) -> np.ndarray | None:
    """What the network's head is given: from the store, which gets what it lacks; None where that cannot be."""
    if described is None or roads.store is None:
        return None
    from graft.backbones import build_backbone
    from graft.backbones.backbone import Backbone, code_identity
    from graft.features.frozen_trunk import FrozenTrunk

    description, pooling = described["description"], described["pooling"]
    if description["code"] != code_identity():
        return None  # other code decodes the images now

    def build() -> Backbone:
        params = TypeAdapter(BackboneParams).validate_python(described["backbone"])
        backbone = build_backbone(params, part.image_size, roads.cache, pooling)
        if FrozenTrunk.of(backbone, pooling=pooling).description != description:
            raise _OtherTrunkError
        return backbone

    trunk = FrozenTrunk.described(description, network.feature_count, roads.store, build)
    try:
        return trunk.features(roads.images(part.image_size), label)
    except _OtherTrunkError:
        return None


class _OtherTrunkError(Exception):
    """There is another weights file now under the name of that which the bundle was trained with."""
