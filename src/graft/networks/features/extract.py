"""Run a frozen network on images, each once: what the store has is read, the rest is computed and stored."""

from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path

import keras
import numpy as np
from numpy.typing import DTypeLike

from graft.networks.decode_images import DecodedImages, KeyedImages, large_array
from graft.networks.engines.artifact_cache import is_cached
from graft.networks.engines.fastest import fastest_engine, suits_openvino
from graft.networks.engines.openvino_run import converted_run
from graft.networks.features.compute import fill
from graft.networks.features.compute_on_cluster import Prepare, Remote
from graft.networks.features.feature_store import Space


def extract(
    model: keras.Model,
    images: KeyedImages,
    label: str,
    space: Space | None = None,
    prepare: Prepare | None = None,
    out: np.ndarray | None = None,
    network: Path | None = None,
    kind: DTypeLike = np.uint8,
) -> np.ndarray:
    """Return outputs of ``model`` in inference mode, float32 ``[N, ...]``, in memory or, where that is too small, on
    disk.

    Args:
        model: images float32 ``[N, S, S, 3]`` in 0..255 to one tensor; nothing in it may change later.
        images: whose pixels are decoded only where the space lacks the row.
        space: of exactly this model and preparation; None keeps nothing.
        prepare: changes pixels before the model sees them.
        out: where to put the outputs instead of a new array.
        network: folder in which the model is cached in OpenVINO's form, see :mod:`graft.networks.engines.conversion`.
        kind: of what the model is given: of pixels, or what ``prepare`` makes of them.

    Raises:
        GraftError: the disk has no room for the outputs, or an image is gone.
    """
    shape = (len(images), *model.output_shape[1:])
    outputs = large_array(shape, np.float32) if out is None else out
    remote = partial(cached_remote, network, kind)
    fill(outputs, lambda count: fastest_engine(model, count, network, kind), images, label, space, prepare, remote)
    return outputs


def cached_remote(network: Path | None, kind: DTypeLike) -> Remote | None:
    """Return how a network that is cached in OpenVINO's form comes to Ray's nodes; None where it is not cached."""
    if network is None or not suits_openvino() or not is_cached(network):
        return None
    return Remote(partial(converted_run, network, kind))


def predict(model: keras.Model, inputs: np.ndarray, label: str) -> np.ndarray:
    """Compute as :func:`extract` does, for inputs of any kind that are in memory, or a memory map, already."""
    return predict_each(model, {label: inputs})[0]


def predict_each(model: keras.Model, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """Compute as :func:`predict` does for several inputs of one kind, by label, with the network converted once."""
    total, kind = sum(map(len, inputs.values())), next(iter(inputs.values())).dtype
    engine = cache(lambda: fastest_engine(model, total, None, kind))
    found = []
    for label, rows in inputs.items():
        found.append(large_array((len(rows), *model.output_shape[1:]), np.float32))
        fill(found[-1], lambda _: engine(), DecodedImages(rows), label)
    return found
