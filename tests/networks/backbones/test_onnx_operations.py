"""ONNX's own examples of each operation, which say what it answers: https://onnx.ai/onnx/operators/."""

import importlib
import pkgutil
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from graft.networks.backbones.onnx_graph import _attribute
from graft.networks.backbones.onnx_node import BATCH, Node
from graft.networks.backbones.onnx_operations import OPERATIONS

# What no frozen network of images has: training, one or three axes of pixels, other types than numbers.
OTHERS = ("training", "_1d", "_3d", "dilations", "identity_opt", "identity_sequence", "bool", "wrap", "l2norm")


def examples() -> Iterator[Any]:
    """The cases of one operation of ours, each with its arrays."""
    from onnx.backend.test.case import node as cases

    names = {op.lower(): op for op in OPERATIONS}
    found = [module.name for module in pkgutil.iter_modules(cases.__path__)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # examples of overflow
        for name in found:
            if name.replace("_", "").removesuffix("2d") in names or name in ("pool_op_common", "matmul"):
                importlib.import_module(f"{cases.__name__}.{name}")
    return iter(cases._NodeTestCases)


def test_it_answers_as_onnx_says() -> None:
    seen, wrong = set(), []
    for case in examples():
        (proto, *rest) = case.model.graph.node
        if rest or proto.op_type not in OPERATIONS or proto.domain or any(word in case.name for word in OTHERS):
            continue
        attributes = {one.name: _attribute(proto, one) for one in proto.attribute}
        version = case.model.opset_import[0].version
        node = Node(proto.op_type, tuple(proto.input), tuple(proto.output), attributes, version)
        for inputs, outputs in case.data_sets:
            left = iter(inputs)
            given = [np.asarray(next(left)) if name else None for name in proto.input]
            if any(one is not None and one.dtype.kind not in "fiub" for one in given):
                continue
            if proto.op_type != "ConstantOfShape":
                given[0] = tf.constant(given[0])
            found = OPERATIONS[proto.op_type](node, *given)
            first = np.asarray(found[0] if isinstance(found, list) else found)
            if first.shape != outputs[0].shape or not np.allclose(first, outputs[0], 1e-3, 1e-5, equal_nan=True):
                wrong.append(case.name)
        seen.add(proto.op_type)
    assert wrong == []
    assert len(seen) > 60


@pytest.mark.parametrize(
    ("sizes", "given", "wanted"),
    [
        ((5, 12, 4, 4), [BATCH, 12, -1], (5, 12, 16)),
        ((5, 12, 4), [0, 0, 2, 2], (5, 12, 2, 2)),
        ((5, 12), [BATCH * 2, 6], (10, 6)),
        ((5, 12), [1, 3, 4], (5, 3, 4)),  # of a file for one image at a time
    ],
)
def test_shapes_may_hold_the_number_of_images(
    sizes: tuple[int, ...], given: list[int], wanted: tuple[int, ...]
) -> None:
    shape = np.array(given, np.int64)

    @tf.function(input_signature=[tf.TensorSpec((None, *sizes[1:]))])
    def run(x: Any) -> Any:
        node = Node("Reshape", (), (), {}, 17, tf.shape(x)[0])
        made = OPERATIONS["Reshape"](node, x, shape)
        assert tuple(made.shape)[1:] == wanted[1:]
        return made

    assert run(tf.zeros(sizes)).shape == wanted
