"""The graph of an ONNX file as a layer: what follows from constants computed once, the rest run with TensorFlow.

As TensorFlow's it goes wherever a Keras backbone goes: into bundles, every export format, and onto GPUs.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import tensorflow as tf

from graft.core.errors import GraftError, first_line
from graft.networks.backbones.backbone import LayerlessNetwork
from graft.networks.backbones.onnx_node import BATCH, Node, shape_of
from graft.networks.backbones.onnx_operations import OPERATIONS

# Arrays of fewer numbers stay constants of the graph; the others are weights.
LEAST_WEIGHTS = 64
# Whose last input is a shape: one with the number of images in it cannot be computed ahead.
_OF_SHAPES = ("ConstantOfShape", "Expand", "Reshape", "Tile")
_HALF = {onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16}


class OnnxNetwork(LayerlessNetwork):
    """A frozen network: float32 images ``[N, H, W, 3]``, or ``[N, 3, H, W]``, to one output of the file.

    Args:
        model: of ONNX, with its weights; half precision is computed in float32.
        output: name of the tensor that is returned.
        shape: of the input, with None for the number of images.
        file: what to call the file in errors.

    Raises:
        GraftError: it holds an operation that is not known here, or one that does not take what it is given.
    """

    def __init__(self, model: Any, output: str, shape: tuple[int | None, ...], file: Path, **options: Any) -> None:
        super().__init__(trainable=False, dtype="float32", **options)
        self.supports_jit = False
        self._file = file
        self._held: dict[str, Any] = {}
        # One graph for whatever number of images, made once: tf.function would make it twice, because of its weights.
        graph = tf.compat.v1.wrap_function(
            lambda images: self._run(images, model, output), [tf.TensorSpec(shape, tf.float32)]
        )
        object.__setattr__(self, "_graph", graph)  # past Keras, which looks into whatever is put into a layer
        self.built = True

    def call(self, images: Any) -> Any:
        """Return the output for images that are scaled already."""
        return self._graph(images)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return tuple(self._graph.outputs[0].shape.as_list())

    def _run(self, images: Any, model: Any, output: str) -> Any:
        """Compute what follows from constants, and make the graph of the rest."""
        values: dict[str, Any] = {tensor.name: _array(tensor) for tensor in model.graph.initializer}
        values[free_inputs(model)[0]] = images
        batch = tf.shape(images)[0]
        for node in _nodes(model, output):
            given = [values[name] if name else None for name in node.inputs]
            found = _folded(node, given)
            if found is None:
                held = [self._as_weight(name, one) for name, one in zip(node.inputs, given, strict=True)]
                found = self._apply(replace(node, batch=batch), held)
            values.update(zip(node.outputs, found if isinstance(found, list) else [found], strict=False))
        return tf.convert_to_tensor(values[output])

    def _apply(self, node: Node, given: list[Any]) -> Any:
        if node.op not in OPERATIONS:
            raise GraftError(
                f"The ONNX file {self._file} holds the operation {node.op}, which graft does not run",
                "Export the network without it, for example with another opset, or use another network",
            )
        try:
            return OPERATIONS[node.op](node, *given)
        except Exception as error:
            # TensorFlow raises all kinds where shapes do not fit, or an operation is asked for what it does not do.
            raise GraftError(
                f"The operation {node.op} in the ONNX file {self._file} does not run: {first_line(error)}",
                "Export the network for images of this size with a free first axis (dynamic_axes={'input': {0: 'N'}} "
                "of torch.onnx.export), or set image_size to what it was exported for",
            ) from error

    def _as_weight(self, name: str, value: Any) -> Any:
        """Return an operation's input, where it is a large constant, as a weight of this layer."""
        if not isinstance(value, np.ndarray) or value.dtype != np.float32 or value.size < LEAST_WEIGHTS:
            return value
        if name not in self._held:
            with tf.init_scope():  # outlives the graph that is being made
                weight = self.add_weight(shape=value.shape, initializer="zeros", trainable=False, dtype="float32")
                weight.assign(value)
            self._held[name] = weight.value
        return self._held[name]


def free_inputs(model: Any) -> list[str]:
    """Return the names of the inputs that are no weights."""
    weights = {tensor.name for tensor in model.graph.initializer}
    return [value.name for value in model.graph.input if value.name not in weights]


def _nodes(model: Any, output: str) -> Iterator[Node]:
    """Yield the operations that an output needs, in order."""
    opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    needed, found = {output}, []
    for node in reversed(model.graph.node):
        if needed.isdisjoint(node.output):
            continue
        needed.update(node.input)
        attributes = {one.name: _attribute(node, one) for one in node.attribute}
        name = node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}"
        found.append(Node(name, tuple(node.input), tuple(node.output), attributes, opset))
    return reversed(found)


def _attribute(node: Any, attribute: Any) -> Any:
    value = onnx.helper.get_attribute_value(attribute)
    if isinstance(value, onnx.TensorProto):
        return _array(value)
    is_half = node.op_type == "Cast" and attribute.name == "to" and value in _HALF
    return onnx.TensorProto.FLOAT if is_half else value


def _array(tensor: Any) -> np.ndarray:
    """Return the numbers of a constant; half precision in float32, in which all is computed."""
    array = np.asarray(onnx.numpy_helper.to_array(tensor))
    return array.astype(np.float32) if tensor.data_type in _HALF else array


def _folded(node: Node, given: list[Any]) -> list[np.ndarray] | None:
    """Return the outputs of a node that follow from constants; None where images, or their number, have a say."""
    if node.op == "Constant":
        (value,) = node.attributes.values()
        return [np.asarray(value, None if isinstance(value, np.ndarray) else _kind(value))]
    if node.op == "Shape":
        sizes = list(given[0].shape) if isinstance(given[0], np.ndarray) else shape_of(given[0])
        return [np.array(sizes[node.get("start", 0) : node.get("end")], np.int64)]
    if not all(one is None or isinstance(one, np.ndarray) for one in given):
        return None
    if node.op in _OF_SHAPES and np.any(given[-1] >= BATCH):
        return None
    return _computed(node, {name: one for name, one in zip(node.inputs, given, strict=True) if name})


def _kind(value: Any) -> type:
    first = value[0] if isinstance(value, (list, tuple)) else value
    return np.int64 if isinstance(first, int) else np.float32


def _computed(node: Node, arrays: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """Run a node on constants with ONNX Runtime, whatever its operation."""
    import onnxruntime

    domain, _, op = node.op.rpartition(".")
    helper = onnx.helper
    attributes = {
        name: onnx.numpy_helper.from_array(value) if isinstance(value, np.ndarray) else value
        for name, value in node.attributes.items()
    }
    made = helper.make_node(op, node.inputs, node.outputs, domain=domain, **attributes)
    inputs = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(one.dtype), one.shape)
        for name, one in arrays.items()
    ]
    outputs = [onnx.ValueInfoProto(name=name) for name in node.outputs if name]
    graph = helper.make_graph([made], "constants", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid(domain, node.opset)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return [np.asarray(one) for one in session.run(None, dict(arrays))]
