"""Reading the weights of a TensorFlow.js layers model: a ``model.json`` and the shards that its manifest lists.

The format is that of https://www.tensorflow.org/js/guide/save_load: the shards of a group, joined, are the raw
little-endian values of its tensors one after the other. The network that ``model.json`` describes is not built.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from graft.core.errors import GraftError


def read_layers_model(files: Mapping[str, bytes], model: str) -> dict[tuple[str, str], np.ndarray]:
    """Tensors of a layers model, float32, by name of layer and of tensor.

    Args:
        files: contents by path; shards are looked up here and nowhere else.

    Raises:
        GraftError: no such model, it is no layers model of float32 tensors, or shards are missing or torn.
    """
    folder = PurePosixPath(model).parent
    tensors: dict[tuple[str, str], np.ndarray] = {}
    for group in _groups(files, model):
        shards = [str(folder / path) for path in group["paths"]]
        missing = [shard for shard in shards if shard not in files]
        if missing:
            raise _damaged(model, f"its shard {missing[0]} is missing")
        values = b"".join(files[shard] for shard in shards)
        sizes = [4 * math.prod(entry["shape"]) for entry in group["weights"]]
        if len(values) != sum(sizes):
            raise _damaged(model, f"its shards hold {len(values):,} bytes where {sum(sizes):,} are due")
        start = 0
        for entry, size in zip(group["weights"], sizes, strict=True):
            layer, _, tensor = entry["name"].rpartition("/")
            flat = np.frombuffer(values, "<f4", size // 4, start)
            tensors[layer.rpartition("/")[2], tensor] = flat.reshape(entry["shape"])
            start += size
    return tensors


def _groups(files: Mapping[str, bytes], model: str) -> list[Any]:
    """The manifest's groups, each checked to be of float32 tensors as they are."""
    if model not in files:
        raise _damaged(model, "it is missing")
    try:
        content = json.loads(files[model])
        groups = list(content["weightsManifest"])
        entries = [entry for group in groups for entry in group["weights"]]
        shapes_are_sizes = all(isinstance(side, int) and side >= 0 for entry in entries for side in entry["shape"])
        names_are_text = all(isinstance(entry["name"], str) for entry in entries)
        paths_are_text = all(isinstance(path, str) for group in groups for path in group["paths"])
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(model, "it is no model.json with a weightsManifest") from error
    if content.get("format", "layers-model") != "layers-model" or not entries:
        raise _damaged(model, "it is no layers model with weights")
    if not (shapes_are_sizes and names_are_text and paths_are_text):
        raise _damaged(model, "its manifest has names or shapes that are none")
    for entry in entries:
        if entry.get("dtype") != "float32" or "quantization" in entry:
            raise _damaged(model, f"its tensor {entry['name']} is not plain float32")
    return groups


def _damaged(model: str, what: str) -> GraftError:
    return GraftError(f"The TF.js model {model} cannot be read: {what}", "Use another copy of it")
