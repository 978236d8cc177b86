"""Read weights in the forms of other libraries, without these libraries.

A TensorFlow.js layers model is a ``model.json`` and the shards that its manifest lists. The shards of a group, joined,
are the raw little-endian values of its tensors one after the other
(https://www.tensorflow.org/js/guide/save_load). The network that ``model.json`` describes is not built.

The tensors of a PyTorch file are read without running anything that the file names. The files are of the form that
``torch.save`` wrote before version 1.6 (``torch/serialization.py``, legacy format): five pickles, the fourth of which
is the dictionary of tensors, and then the bytes of each storage. Of what a pickle can name, four things are answered
with stand-ins of our own; anything else is refused.
"""

import io
import json
import math
import pickle
import struct
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from graft.core.errors import GraftError, first_line


def read_layers_model(files: Mapping[str, bytes], model: str) -> dict[tuple[str, str], np.ndarray]:
    """Return the tensors of a layers model, float32, by name of layer and of tensor.

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
    """Return the manifest's groups, each checked to be of float32 tensors as they are."""
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


_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_DTYPES: dict[str, np.dtype[Any]] = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


@dataclass(frozen=True)
class _Tensor:
    """Where a tensor lies in its storage; sizes and strides in elements."""

    storage: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_torch_file(content: bytes, name: str) -> dict[str, np.ndarray]:
    """Return the tensors of a state dictionary by name, float32 or int64.

    Raises:
        GraftError: it is no such file, names anything but tensors of these types, or is torn.
    """
    stream = io.BytesIO(content)
    dtypes: dict[str, np.dtype] = {}
    try:
        if [_PlainUnpickler(stream, dtypes).load() for _ in range(2)] != [_MAGIC, _PROTOCOL]:
            raise ValueError("it does not begin as such files do")
        _PlainUnpickler(stream, dtypes).load()  # sizes of types on the machine that wrote it
        tensors = _PlainUnpickler(stream, dtypes).load()
        keys = _PlainUnpickler(stream, dtypes).load()
        storages = {str(key): _storage(stream, dtypes[str(key)]) for key in keys}
        return {str(key): _values(tensor, storages[tensor.storage]) for key, tensor in tensors.items()}
    except Exception as error:  # a damaged pickle raises all kinds
        raise GraftError(
            f"{name} holds no tensors of PyTorch's first format ({first_line(error)})", "Fetch it again"
        ) from None


class _PlainUnpickler(pickle.Unpickler):
    """An unpickler that can make nothing but plain values, ordered dictionaries and places of tensors."""

    def __init__(self, stream: io.BytesIO, dtypes: dict[str, np.dtype]) -> None:
        super().__init__(stream)
        self._dtypes = dtypes

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _place
        if module == "torch" and name in _DTYPES:
            return name
        raise pickle.UnpicklingError(f"it names {module}.{name}")

    def persistent_load(self, pid: Any) -> str:
        _, kind, key, _, _, view = pid
        if view is not None:
            raise pickle.UnpicklingError("it holds views of storages")
        self._dtypes[str(key)] = _DTYPES[kind]
        return str(key)


def _place(storage: str, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any) -> _Tensor:
    return _Tensor(storage, int(offset), tuple(shape), tuple(strides))


def _storage(stream: io.BytesIO, dtype: np.dtype) -> np.ndarray:
    (count,) = struct.unpack("<q", stream.read(8))
    data = stream.read(count * dtype.itemsize)
    if count < 0 or len(data) != count * dtype.itemsize:
        raise ValueError("it ends too early")
    return np.frombuffer(data, dtype)


def _values(tensor: _Tensor, storage: np.ndarray) -> np.ndarray:
    """Return a tensor's values in the order of its axes; converted checkpoints have theirs in another one."""
    if not all(tensor.shape):
        return np.empty(tensor.shape, storage.dtype)
    last = tensor.offset + sum((n - 1) * step for n, step in zip(tensor.shape, tensor.strides, strict=True))
    if tensor.offset < 0 or min((*tensor.shape, *tensor.strides, 0)) < 0 or last >= len(storage):
        raise ValueError("a tensor leaves its storage")
    strides = [step * storage.itemsize for step in tensor.strides]
    view = np.lib.stride_tricks.as_strided(storage[tensor.offset :], tensor.shape, strides, writeable=False)
    return np.ascontiguousarray(view)
