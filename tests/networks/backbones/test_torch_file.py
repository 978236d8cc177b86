"""Tensors out of PyTorch's first file format, and nothing else out of it."""

import io
import os
import pickle
import struct
import sys
import types
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest

from graft.core.errors import GraftError
from graft.networks.backbones.foreign_weights import read_torch_file

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001


class Placed:
    """A tensor on its way into a file: pickled as PyTorch has it, by the name of the function that rebuilds it."""

    def __init__(self, key: str, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> None:
        self.arguments = (Storage(key), offset, shape, strides, False, OrderedDict())

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return sys.modules["torch._utils"]._rebuild_tensor_v2, self.arguments


class Storage:
    def __init__(self, key: str) -> None:
        self.key = key


class Writer(pickle.Pickler):
    def persistent_id(self, obj: object) -> object:
        if isinstance(obj, Storage):
            return ("storage", sys.modules["torch"].FloatStorage, obj.key, "cpu", 6, None)
        return None


@pytest.fixture
def torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a pickle of PyTorch's names, as far as it is needed to write one."""
    package, private = types.ModuleType("torch"), types.ModuleType("torch._utils")

    class FloatStorage:
        pass

    def _rebuild_tensor_v2(*arguments: object) -> None:
        raise AssertionError("only named, never called")

    FloatStorage.__module__, FloatStorage.__qualname__ = "torch", "FloatStorage"
    _rebuild_tensor_v2.__module__, _rebuild_tensor_v2.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    package.FloatStorage, private._rebuild_tensor_v2 = FloatStorage, _rebuild_tensor_v2  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch", package)
    monkeypatch.setitem(sys.modules, "torch._utils", private)


def torch_file(state: object, storage: np.ndarray) -> bytes:
    stream = io.BytesIO()
    for value in (MAGIC, PROTOCOL, {"little_endian": True}):
        pickle.dump(value, stream, protocol=2)
    Writer(stream, protocol=2).dump(state)
    pickle.dump(["7"], stream, protocol=2)
    stream.write(struct.pack("<q", storage.size) + storage.astype("<f4").tobytes())
    return stream.getvalue()


VALUES = np.arange(6, dtype=np.float32)


@pytest.mark.usefixtures("torch")
def test_tensors_come_in_the_order_of_their_axes() -> None:
    state = OrderedDict(
        plain=Placed("7", 0, (2, 3), (3, 1)), turned=Placed("7", 0, (3, 2), (1, 3)), one=Placed("7", 5, (), ())
    )
    tensors = read_torch_file(torch_file(state, VALUES), "net.pth")
    np.testing.assert_array_equal(tensors["plain"], VALUES.reshape(2, 3))
    np.testing.assert_array_equal(tensors["turned"], VALUES.reshape(2, 3).T)
    assert tensors["one"] == 5


@pytest.mark.usefixtures("torch")
@pytest.mark.parametrize(
    "state",
    [
        {"far": Placed("7", 0, (7,), (1,))},
        {"before": Placed("7", -1, (2,), (1,))},
        {"backwards": Placed("7", 3, (2,), (-1,))},
        {"unknown": Placed("8", 0, (2,), (1,))},
    ],
)
def test_a_tensor_that_leaves_its_storage_is_refused(state: object) -> None:
    with pytest.raises(GraftError, match=r"net\.pth"):
        read_torch_file(torch_file(state, VALUES), "net.pth")


class Harmful:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, ("made-by-a-pickle",)


@pytest.mark.usefixtures("torch")
def test_nothing_that_a_file_names_is_run(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for state in (Harmful(), {"weight": Harmful()}):
        with pytest.raises(GraftError, match="mkdir"):
            read_torch_file(torch_file(state, VALUES), "net.pth")
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("torch")
def test_a_torn_file_is_refused_wherever_it_ends() -> None:
    whole = torch_file({"weight": Placed("7", 0, (6,), (1,))}, VALUES)
    for length in range(0, len(whole), 7):
        with pytest.raises(GraftError, match=r"net\.pth"):
            read_torch_file(whole[:length], "net.pth")
