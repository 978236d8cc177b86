"""ONNX, for ONNX Runtime and the many tools that read it; labels and description are in the file's metadata."""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np

from graft.core.quotas import fewer_cores
from graft.deployment.export.bundle_source import FEATURES, INPUT, OUTPUT, ExportSource, probabilities_of
from graft.networks.engines.openvino_run import Run

FILE = "model.onnx"
# Understood by every ONNX Runtime since 1.14 (2023), and all that these networks need.
OPSET = 18
USAGE = """\
import onnxruntime
session = onnxruntime.InferenceSession("model.onnx")
(probabilities,) = session.run(["probabilities"], {"image": images.astype("float32")})   # RGB in 0..255
"""
INPUT_KIND, INPUT_RANGE = "float32", (0, 255)


def write(source: ExportSource, folder: Path) -> None:
    """Write the format into an existing folder."""
    import onnx
    import tensorflow as tf
    import tf2onnx

    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    loaded = tf.saved_model.load(str(source.saved_model))
    serve = loaded.signatures["serving_default"]
    spec = [tf.TensorSpec((None, source.image_size, source.image_size, 3), tf.float32, name=INPUT)]

    @tf.function(input_signature=spec)
    def answer(image):  # type: ignore[no-untyped-def]
        found = serve(image)
        features = {FEATURES: found[FEATURES]} if FEATURES in found else {}
        return {OUTPUT: probabilities_of(found), **features}

    handlers: dict[str, tuple[Any, list[str]]] = {
        "Erfc": (_erfc, [])
    }  # of Keras' gelu, which transformers have; tf2onnx has none for it
    model, _ = tf2onnx.convert.from_function(answer, input_signature=spec, opset=OPSET, custom_op_handlers=handlers)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "N"
    onnx.helper.set_model_props(
        model,
        {
            "labels": json.dumps(source.classes, ensure_ascii=False),
            "graft": json.dumps(source.about, ensure_ascii=False),
        },
    )
    onnx.checker.check_model(model)
    onnx.save(model, str(folder / FILE))


def _erfc(graph: Any, node: Any, name: str, args: Any) -> None:
    """Put ``1 - Erf(x)`` in the place of ``Erfc(x)``, as tf2onnx calls what is to write an operation."""
    output, kind, shape = node.output[0], graph.get_dtype(node.output[0]), graph.get_shape(node.output[0])
    one = graph.make_const(f"{node.name}_one", np.array(1, np.float32))
    erf = graph.make_node("Erf", list(node.input))
    graph.remove_node(node.name)
    graph.make_node("Sub", [one.output[0], erf.output[0]], outputs=[output], shapes=[shape], dtypes=[kind])


def load(folder: Path) -> Run:
    """Return a function that runs what :func:`write` wrote.

    It takes images as :func:`graft.deployment.export.saved_model.load` describes them.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = fewer_cores() or 0  # 0: as many as there are
    session = onnxruntime.InferenceSession(str(folder / FILE), options, providers=["CPUExecutionProvider"])

    def run(images: np.ndarray) -> np.ndarray:
        (answer,) = session.run([OUTPUT], {INPUT: images.astype(np.float32)})
        return np.asarray(answer)

    return run
