"""The operations of ONNX that image backbones are made of, as TensorFlow's: https://onnx.ai/onnx/operators/.

Each takes its :class:`Node` and the node's inputs in order, tensors or constant arrays, and returns the first output (a
list where a node has several). What follows from constants alone never comes here, see
:mod:`graft.networks.backbones.onnx_graph`.
"""

import math
from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np
import tensorflow as tf

from graft.networks.backbones import onnx_maps as maps
from graft.networks.backbones.onnx_node import BATCH, Node, shape_of


def _reshape(node: Node, x: Any, shape: Any) -> Any:
    if not isinstance(shape, np.ndarray):
        return tf.reshape(x, shape)
    known = shape_of(x)
    wanted = [known[i] if size == 0 and not node.get("allowzero", 0) else int(size) for i, size in enumerate(shape)]
    if wanted and wanted[0] == 1 and known[0] == BATCH and math.prod(wanted) == math.prod(known[1:]):
        wanted[0] = BATCH  # of a file for one image at a time
    if -1 in wanted and (rest := -math.prod(wanted)) and math.prod(known) % rest == 0:
        wanted[wanted.index(-1)] = math.prod(known) // rest
    if -1 not in wanted and sum(size >= BATCH for size in wanted) == 1:
        wanted = [-1 if size >= BATCH else size for size in wanted]  # so that TensorFlow knows the others
    return tf.reshape(x, node.sizes(np.array(wanted, np.int64)))


def _flatten(node: Node, x: Any) -> Any:
    axis = node.get("axis", 1)
    after = shape_of(x)[axis:]
    return tf.reshape(x, [-1, *node.sizes(np.array([math.prod(after)], np.int64))])


def _expand(node: Node, x: Any, shape: np.ndarray) -> Any:
    rank = max(len(x.shape), shape.size)
    own = [1] * (rank - len(x.shape)) + shape_of(x)
    wanted = [1] * (rank - shape.size) + shape.ravel().tolist()
    return tf.broadcast_to(x, node.sizes(np.array([a if b == 1 else b for a, b in zip(own, wanted, strict=True)])))


def _concat(node: Node, *parts: Any) -> Any:
    if any(shape_of(part)[0] == BATCH for part in parts) and node.get("axis") % len(parts[0].shape):
        # A class token is of one image where the file is for one at a time.
        parts = tuple(
            tf.broadcast_to(part, [node.batch, *part.shape[1:]]) if part.shape[0] == 1 else part for part in parts
        )
    return tf.concat(parts, node.get("axis"))


def _split(node: Node, x: Any, sizes: Any = None) -> Any:
    axis = node.get("axis", 0)
    sizes = node.ints("split", sizes)
    if sizes is None:
        count, length = len(node.outputs), shape_of(x)[axis]
        part = math.ceil(length / count)
        sizes = [part] * (count - 1) + [length - part * (count - 1)]
    return tf.split(x, sizes, axis)


def _slice(node: Node, x: Any, starts: Any = None, ends: Any = None, axes: Any = None, steps: Any = None) -> Any:
    starts, ends = node.ints("starts", starts), node.ints("ends", ends)
    axes = node.ints("axes", axes, range(len(starts)))
    steps = node.ints("steps", steps, [1] * len(starts))
    cuts = [slice(None)] * len(x.shape)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        length = shape_of(x)[axis]
        # Ends beyond the axis stand for all of it, to either side.
        first = None if start <= -length or start >= BATCH else start
        cuts[axis] = slice(first, None if abs(end) >= length and (end < 0) == (step < 0) else end, step)
    return x[tuple(cuts)]


def _gather(node: Node, x: Any, indices: Any) -> Any:
    axis = node.get("axis", 0)
    if isinstance(indices, np.ndarray):
        indices = np.where(indices < 0, indices + shape_of(x)[axis], indices)
    return tf.gather(x, indices, axis=axis)


def _squeeze(node: Node, x: Any, axes: Any = None) -> Any:
    found = node.ints("axes", axes)
    return tf.squeeze(x, [i for i, size in enumerate(x.shape) if size == 1] if found is None else found)


def _unsqueeze(node: Node, x: Any, axes: Any = None) -> Any:
    found = node.ints("axes", axes)
    for axis in sorted(axis % (len(x.shape) + len(found)) for axis in found):
        x = tf.expand_dims(x, axis)
    return x


def _pad(node: Node, x: Any, pads: Any = None, value: Any = None, axes: Any = None) -> Any:
    pads = node.ints("pads", pads)
    around = [[0, 0] for _ in x.shape]
    half = len(pads) // 2
    for number, axis in enumerate(node.ints("axes", axes, range(half))):
        around[axis] = [pads[number], pads[half + number]]
    mode = node.text("mode", "constant")
    if mode == "edge":
        for axis, (before, behind) in enumerate(around):
            length = shape_of(x)[axis]
            if before or behind:
                x = tf.gather(x, np.clip(np.arange(-before, length + behind), 0, length - 1), axis=axis)
        return x
    if mode not in ("constant", "reflect"):
        raise ValueError(f"Pad with mode {mode}")
    fill = node.get("value", 0.0) if value is None else value
    return tf.pad(x, around, mode.upper(), tf.reshape(tf.cast(fill, x.dtype), []))


def _clip(node: Node, x: Any, low: Any = None, high: Any = None) -> Any:
    low, high = node.get("min") if low is None else low, node.get("max") if high is None else high
    x = x if low is None else tf.maximum(x, tf.cast(low, x.dtype))
    return x if high is None else tf.minimum(x, tf.cast(high, x.dtype))


def _softmax(function: Callable[..., Any]) -> Callable[..., Any]:
    def run(node: Node, x: Any) -> Any:
        if node.opset >= 13:
            return function(x, axis=node.get("axis", -1))
        return tf.reshape(function(_flatten(node, x), axis=-1), tf.shape(x))  # over all axes from this one on

    return run


def _reduce(function: Callable[..., Any]) -> Callable[..., Any]:
    def run(node: Node, x: Any, axes: Any = None) -> Any:
        found = node.ints("axes", axes)
        if not found and node.get("noop_with_empty_axes", 0):
            return x
        return function(x, axis=found or None, keepdims=bool(node.get("keepdims", 1)))

    return run


def _gemm(node: Node, a: Any, b: Any, c: Any = None) -> Any:
    product = tf.matmul(a, b, transpose_a=bool(node.get("transA", 0)), transpose_b=bool(node.get("transB", 0)))
    product = product * node.get("alpha", 1.0) if node.get("alpha", 1.0) != 1 else product
    if c is None:
        return product
    return product + (c * node.get("beta", 1.0) if node.get("beta", 1.0) != 1 else c)


def _divide(node: Node, a: Any, b: Any) -> Any:
    return tf.truncatediv(a, b) if tf.as_dtype(a.dtype).is_integer else tf.divide(a, b)


def _lp_normalization(node: Node, x: Any) -> Any:
    order = node.get("p", 2)
    return x / tf.norm(x, ord=order, axis=node.get("axis", -1), keepdims=True)


def _cast(node: Node, x: Any) -> Any:
    import onnx

    return tf.cast(x, tf.as_dtype(onnx.helper.tensor_dtype_to_np_dtype(node.get("to"))))


_PLAIN: dict[str, Callable[..., Any]] = {
    "Abs": tf.abs,
    "Add": tf.add,
    "And": tf.logical_and,
    "Ceil": tf.math.ceil,
    "Cos": tf.cos,
    "Dropout": lambda x, *_: tf.identity(x),
    "Equal": tf.equal,
    "Erf": tf.math.erf,
    "Exp": tf.exp,
    "Floor": tf.floor,
    "Greater": tf.greater,
    "GreaterOrEqual": tf.greater_equal,
    "HardSwish": lambda x: x * tf.clip_by_value(x / 6 + 0.5, 0, 1),
    "Identity": tf.identity,
    "Less": tf.less,
    "LessOrEqual": tf.less_equal,
    "Log": tf.math.log,
    "MatMul": tf.matmul,
    "Max": lambda *x: reduce(tf.maximum, x),
    "Mean": lambda *x: reduce(tf.add, x) / len(x),
    "Min": lambda *x: reduce(tf.minimum, x),
    "Mish": lambda x: x * tf.tanh(tf.nn.softplus(x)),
    "Mul": tf.multiply,
    "Neg": tf.negative,
    "Not": tf.logical_not,
    "Or": tf.logical_or,
    "Pow": lambda x, y: tf.pow(x, tf.cast(y, x.dtype)),
    "PRelu": lambda x, slope: tf.nn.relu(x) - slope * tf.nn.relu(-x),
    "Reciprocal": tf.math.reciprocal,
    "Relu": tf.nn.relu,
    "Round": tf.round,
    "Sigmoid": tf.sigmoid,
    "Sign": tf.sign,
    "Sin": tf.sin,
    "Softplus": tf.nn.softplus,
    "Sqrt": tf.sqrt,
    "Sub": tf.subtract,
    "Sum": lambda *x: reduce(tf.add, x),
    "Tanh": tf.tanh,
    "Where": tf.where,
}

OPERATIONS: dict[str, Callable[..., Any]] = {
    **{name: lambda node, *inputs, function=function: function(*inputs) for name, function in _PLAIN.items()},
    "AveragePool": maps.average_pool,
    "BatchNormalization": maps.batch_normalization,
    "Cast": _cast,
    "Clip": _clip,
    "Concat": _concat,
    "ConstantOfShape": lambda node, shape: tf.fill(node.sizes(shape), node.get("value", np.zeros(1, np.float32))[0]),
    "Conv": maps.conv,
    "Div": _divide,
    "Einsum": lambda node, *x: tf.einsum(node.text("equation", ""), *x),
    "Elu": lambda node, x: tf.where(x < 0, node.get("alpha", 1.0) * tf.math.expm1(tf.minimum(x, 0.0)), x),
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "Gelu": lambda node, x: tf.nn.gelu(x, approximate=node.text("approximate", "none") == "tanh"),
    "Gemm": _gemm,
    "GlobalAveragePool": maps.over_all_pixels(tf.reduce_mean),
    "GlobalMaxPool": maps.over_all_pixels(tf.reduce_max),
    "HardSigmoid": lambda node, x: tf.clip_by_value(node.get("alpha", 0.2) * x + node.get("beta", 0.5), 0, 1),
    "InstanceNormalization": maps.instance_normalization,
    "LRN": maps.local_response_normalization,
    "LayerNormalization": maps.layer_normalization,
    "LeakyRelu": lambda node, x: tf.nn.leaky_relu(x, node.get("alpha", 0.01)),
    "LogSoftmax": _softmax(tf.nn.log_softmax),
    "LpNormalization": _lp_normalization,
    "MaxPool": maps.max_pool,
    "Pad": _pad,
    "ReduceL2": _reduce(tf.math.reduce_euclidean_norm),
    "ReduceMax": _reduce(tf.reduce_max),
    "ReduceMean": _reduce(tf.reduce_mean),
    "ReduceMin": _reduce(tf.reduce_min),
    "ReduceProd": _reduce(tf.reduce_prod),
    "ReduceSum": _reduce(tf.reduce_sum),
    "Reshape": _reshape,
    "Slice": _slice,
    "Softmax": _softmax(tf.nn.softmax),
    "Split": _split,
    "Squeeze": _squeeze,
    "Tile": lambda node, x, repeats: tf.tile(x, node.sizes(repeats)),
    "Transpose": lambda node, x: tf.transpose(x, node.get("perm")),
    "Unsqueeze": _unsqueeze,
}
