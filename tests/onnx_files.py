"""ONNX files as exporters write them, small: a map, tokens with a class token, vectors, and what is no backbone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

RANDOM = np.random.default_rng(3)
FLOAT = TensorProto.FLOAT
# A kernel for each output, of 4x4 patches.
KERNEL = RANDOM.normal(0, 0.3, (12, 3, 4, 4)).astype(np.float32)
MIX = RANDOM.normal(0, 0.3, (12, 12)).astype(np.float32)
TOKEN = RANDOM.normal(0, 1, (1, 1, 12)).astype(np.float32)
PATCHES = helper.make_node("Conv", ["image", "kernel"], ["patches"], strides=[4, 4])


def save(
    path: Path,
    nodes: Sequence[Any],
    outputs: dict[str, Sequence[Any]],
    inputs: dict[str, Sequence[Any]],
    constants: dict[str, Any],
    kind: int = FLOAT,
) -> Path:
    """Write a file; shapes are of numbers, and of names where any size is taken."""
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info(name, kind, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, kind, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)
    return path


def write_map(path: Path, size: int | str = 16, kind: int = FLOAT) -> Path:
    """A convolution with batch norm, answering with a map ``[N, 12, H, W]``, as a cut timm network does."""
    number = helper.tensor_dtype_to_np_dtype(kind)
    norm = {name: np.linspace(low, 1, 12).astype(number) for name, low in (("scale", 0.5), ("variance", 0.5))}
    norm |= {name: np.linspace(-0.2, 0.2, 12).astype(number) for name in ("bias", "mean")}
    nodes = [
        PATCHES,
        helper.make_node("BatchNormalization", ["patches", "scale", "bias", "mean", "variance"], ["normed"]),
        helper.make_node("Relu", ["normed"], ["map"]),
    ]
    side = size // 4 if isinstance(size, int) else "side"
    constants = {"kernel": KERNEL.astype(number), **norm}
    return save(path, nodes, {"map": ["N", 12, side, side]}, {"image": ["N", 3, size, size]}, constants, kind)


def write_tokens(path: Path, batch: int | str = "N", size: int | str = 16, class_token: bool = True) -> Path:
    """A patch embedding, class token and one mixing layer, ``[N, 17, 12]`` as PyTorch exports them.

    With a ``batch`` of 1 shapes are numbers, as they are where no axis was named as dynamic. Else they are computed
    from the image's, as is how often the class token is repeated.
    """
    n = helper.make_node
    constants: dict[str, Any] = {"kernel": KERNEL, "mix": MIX, "token": TOKEN, "zero": np.array([0], np.int64)}
    constants |= {"rest": np.array([12, -1], np.int64), "all": np.array([-1, -1], np.int64)}
    constants |= {
        "minus": np.array([-1, -1, -1], np.int64),
        "places": RANDOM.normal(size=(1, 17, 12)).astype(np.float32),
    }
    nodes = [PATCHES]
    if batch == 1:
        constants["flat"], tokens = np.array([1, 12, 16], np.int64), "token"
    else:
        nodes += [
            n("Shape", ["image"], ["shape"]),
            n("Gather", ["shape", "zero"], ["count"]),
            n("Concat", ["count", "rest"], ["flat"], axis=0),
            n("Concat", ["count", "all"], ["asked"], axis=0),
            n("ConstantOfShape", ["three"], ["ones"], value=numpy_helper.from_array(np.array([1], np.int64))),
            n("Equal", ["asked", "minus"], ["as_it_is"]),
            n("Where", ["as_it_is", "ones", "asked"], ["repeats"]),
            n("Expand", ["token", "repeats"], ["tokens"]),
        ]
        constants["three"], tokens = np.array([3], np.int64), "tokens"
    nodes += [n("Reshape", ["patches", "flat"], ["rows"]), n("Transpose", ["rows"], ["columns"], perm=[0, 2, 1])]
    count = 16
    last = "columns"
    if class_token:
        nodes += [n("Concat", [tokens, "columns"], ["joined"], axis=1), n("Add", ["joined", "places"], ["placed"])]
        count, last = 17, "placed"
    nodes += [
        n("MatMul", [last, "mix"], ["mixed"]),
        n("Softmax", ["mixed"], ["shares"], axis=-1),
        n("Mul", ["shares", last], ["features"]),
        n("ReduceMean", ["features"], ["pooled"], axes=[1], keepdims=0),
    ]
    outputs = {"features": [batch, count, 12], "pooled": [batch, 12]}
    return save(path, nodes, outputs, {"image": [batch, 3, size, size]}, constants)
