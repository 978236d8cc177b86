"""Look into the network of a bundle: kernels of its first layer, maps through its depth, features of photographs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from graft.bundle.model import MEMBERS, SAVED_MODEL
from graft.bundle.record import read_checked, read_settings
from graft.core.errors import GraftError
from graft.networks.engines.openvino_run import compiled_run, cpu_settings, import_openvino
from graft.networks.explain.heat_maps import last_maps

# Layers of a photograph's maps, evenly through the depth, and channels of each.
DEPTHS, CHANNELS = 6, 8
_CONVOLUTIONS = ("Convolution", "GroupConvolution")


def main_network(bundle: Path) -> Path:
    """Return the bundle of the network that looks at photographs: of an ensemble, that of the greatest weight."""
    members = read_checked(bundle).get("members")
    return bundle / MEMBERS / max(members, key=lambda one: one["weight"])["name"] if members else bundle


def first_kernels(bundle: Path) -> np.ndarray:
    """Return the kernels of the first convolution, float32 ``[K, h, w, channels]``.

    Raises:
        GraftError: the network has none, or it does not see the photograph.
    """
    for node in _read(bundle).get_ordered_ops():
        if node.get_type_name() == "Convolution":
            weights = node.input_value(1).get_node()
            while weights.get_type_name() != "Constant" and weights.get_input_size():
                weights = weights.input_value(0).get_node()
            if weights.get_type_name() == "Constant":
                return np.moveaxis(np.array(weights.data, np.float32), 1, -1)
    raise GraftError("This network has no convolution whose kernels could be drawn", "Take one of convolutions")


def feature_maps(bundle: Path, image: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Return maps of a photograph through the depth: the name of the layer, and its strongest channels ``[K, h, w]``.

    Args:
        image: ``[S, S, 3]``, RGB in 0..255, at the bundle's size.
    """
    openvino = import_openvino()
    network = _read(bundle)
    layers = [node for node in network.get_ordered_ops() if node.get_type_name() in _CONVOLUTIONS]
    if not layers:
        raise GraftError("This network has no maps of places: it has no convolution", "Take one of convolutions")
    chosen = [layers[int(place)] for place in np.unique(np.linspace(0, len(layers) - 1, DEPTHS).round())]
    results = [openvino.opset13.result(node.output(0)) for node in chosen]
    model = openvino.Model(results, network.get_parameters(), "depths")
    found = openvino.Core().compile_model(model, "CPU", cpu_settings("LATENCY"))(image[None].astype(np.float32))
    maps = []
    for number, node in enumerate(chosen):
        values = np.maximum(np.array(found[number])[0], 0)  # OpenVINO's convolutions are [N, K, h, w]
        strongest = np.argsort(-values.std(axis=(1, 2)), kind="stable")[:CHANNELS]
        maps.append((node.get_friendly_name(), values[strongest]))
    return maps


def embedding_run(bundle: Path) -> tuple[int, Callable[[np.ndarray], np.ndarray]]:
    """Return S, and what makes features ``[N, K]`` of images ``[N, S, S, 3]``: the means of the last maps of places.

    Raises:
        NoHeatMapError: the network has no such maps.
    """
    openvino = import_openvino()
    network = _read(bundle)
    means = []
    for output, channels_first in last_maps(network):
        axes = openvino.opset13.constant(np.array([2, 3] if channels_first else [1, 2]))
        means.append(openvino.opset13.reduce_mean(output, axes, False))
    joined = openvino.opset13.concat(means, 1) if len(means) > 1 else means[0]
    model = openvino.Model([openvino.opset13.result(joined)], network.get_parameters(), "features")
    return int(read_settings(bundle)["image_size"]), compiled_run(openvino.Core(), model)


def _read(bundle: Path) -> Any:
    try:
        return import_openvino().Core().read_model(bundle / SAVED_MODEL)
    except Exception as error:
        raise GraftError(
            f"OpenVINO does not take the network in {bundle} over", "Take one on Keras' backbones"
        ) from error
