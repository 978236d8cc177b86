"""Operations of transformers that tf2onnx leaves out."""

import numpy as np
import onnx
import onnxruntime
import tensorflow as tf
import tf2onnx

from graft.deployment.export.onnx import OPSET, _erfc


def test_erfc_of_keras_gelu_is_written() -> None:
    spec = [tf.TensorSpec((None, 7), tf.float32, name="x")]

    @tf.function(input_signature=spec)
    def gelu(x):  # type: ignore[no-untyped-def]
        return {"y": x * tf.math.erfc(x) + 1}

    model, _ = tf2onnx.convert.from_function(
        gelu, input_signature=spec, opset=OPSET, custom_op_handlers={"Erfc": (_erfc, [])}
    )
    onnx.checker.check_model(model)
    x = np.random.default_rng(0).normal(size=(3, 7)).astype(np.float32)
    (found,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})
    np.testing.assert_allclose(found, gelu(x)["y"], atol=1e-6)
