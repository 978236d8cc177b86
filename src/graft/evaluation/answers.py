"""A bundle's probabilities for many images: by ways that are quicker than TensorFlow's, and held against it.

A bundle of which only the head was trained is given the features that training keeps in the feature store; any other
is run by OpenVINO, several times as fast on a CPU as TensorFlow. Both are compared with the bundle as it is served, on
a sample of the images, and where they differ, the bundle itself answers for all.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter

from graft.errors import first_line
from graft.features.engines import saved_model_engine
from graft.features.extraction import fill
from graft.features.store import FeatureStore
from graft.inference.model import ImageClassifier, Network
from graft.params.strategies import BackboneParams
from graft.progress import console, progress_bar
from graft.training.devices import gpu_count
from graft.training.images import KeyedImages, large_array

# Images that the bundle itself answers for too, evenly spread; fewer than this it answers for alone.
SAMPLE = 32
# Largest difference of a probability: engines agree to 1e-4 of the largest feature, and a head weighs features.
TOLERANCE = 1e-3

# Side in pixels to the images at that size.
ImagesAt = Callable[[int], KeyedImages]


def bundle_probabilities(
    model: ImageClassifier,
    images: ImagesAt,
    count: int,
    store: FeatureStore,
    cache: Path,
    batch_size: int,
    label: str,
) -> np.ndarray:
    """Probabilities float32 ``[N, C]``.

    Args:
        model: the bundle, loaded.
        images: asked for at each of its image sizes.
        count: N.
        store: where features are kept.
        cache: folder of downloaded weights.
        batch_size: images per forward pass of the bundle itself.
        label: what progress bars call it.
    """
    if count <= SAMPLE or gpu_count():
        return _served(model, images, np.arange(count), batch_size, label)
    try:
        answers = sum(
            weight * _network_probabilities(network, images(network.image_size), store, cache, label)
            for weight, network in model.networks
        )
    except Exception as error:
        # OpenVINO raises all kinds, for example where a network holds an operation that it does not know; what is
        # wrong with the images themselves comes up again.
        console.print(
            f"{label}: not by OpenVINO ({first_line(error)}); the bundle itself answers", soft_wrap=True
        )
        return _served(model, images, np.arange(count), batch_size, label)
    probabilities = np.asarray(answers, np.float32)
    sample = np.unique(np.linspace(0, count - 1, SAMPLE).astype(np.int64))
    expected = _served(model, images, sample, batch_size, f"{label}, as served")
    difference = float(np.abs(probabilities[sample] - expected).max())
    if not difference <= TOLERANCE:
        console.print(
            f"{label}: OpenVINO differs from the bundle as served by {difference:.2g}; the bundle itself answers",
            soft_wrap=True,
        )
        return _served(model, images, np.arange(count), batch_size, label)
    return probabilities


def _served(
    model: ImageClassifier, images: ImagesAt, indices: np.ndarray, batch_size: int, label: str
) -> np.ndarray:
    """Answers of the bundle as it is served, for some of the images."""
    probabilities = np.empty((len(indices), len(model.classes)), np.float32)
    with progress_bar(label, len(indices)) as advance:
        for start in range(0, len(indices), batch_size):
            chosen = indices[start : start + batch_size]
            answers = model.probabilities({size: images(size).at(chosen) for size in model.image_sizes})
            probabilities[start : start + len(chosen)] = answers
            advance(len(chosen))
    return probabilities


def _network_probabilities(
    network: Network, images: KeyedImages, store: FeatureStore, cache: Path, label: str
) -> np.ndarray:
    features = _features(network, images, store, cache, label)
    if features is not None:
        return network.probabilities_of_features(features)
    run = saved_model_engine(network.saved_model)
    outputs = large_array((len(images), network.class_count), np.float32)
    fill(outputs, lambda _: run, images, label)
    return outputs


def _features(
    network: Network, images: KeyedImages, store: FeatureStore, cache: Path, label: str
) -> np.ndarray | None:
    """What the network's head is given: from the store, which gets what it lacks; None where that cannot be."""
    described = network.features
    if described is None:
        return None
    features = large_array((len(images), network.feature_count), np.float32)
    if not len(store.space(described["description"]).read(images.keys, features)):
        return features
    from graft.backbones import build_backbone
    from graft.features.pooled import describe_features, pooled_features

    params = TypeAdapter(BackboneParams).validate_python(described["backbone"])
    pooling = described["pooling"]
    backbone = build_backbone(params, network.image_size, cache, pooling)
    if describe_features(backbone, pooling) != described["description"]:
        return None  # other code, or another weights file under the same name, than the bundle was trained with
    return pooled_features(backbone, images, label, store, pooling, out=features)
