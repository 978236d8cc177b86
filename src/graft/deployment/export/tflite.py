"""TensorFlow Lite, for phones and small boards: in float32, or in 8-bit whole numbers calibrated on photographs.

The file says of itself what phones' libraries ask for, see :mod:`graft.deployment.export.tflite_metadata`. Labels and
description are appended to it as a zip archive, where these and other tools look for them
(https://ai.google.dev/edge/litert/models/metadata): ``unzip model.tflite`` shows them.
"""

import json
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from graft.core.quotas import cores
from graft.deployment.export.bundle_source import INPUT, OUTPUT, ExportSource, probabilities_of
from graft.deployment.export.tflite_metadata import LABELS_FILE, with_metadata
from graft.networks.engines.openvino_run import Run

FILE = "model.tflite"
USAGE = """\
from ai_edge_litert.interpreter import Interpreter      # or tf.lite.Interpreter
interpreter = Interpreter("model.tflite")
interpreter.allocate_tensors()
given = interpreter.get_input_details()[0]
interpreter.set_tensor(given["index"], images.astype(given["dtype"]))   # one image at a time, RGB in 0..255
interpreter.invoke()
probabilities = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
"""
INPUT_KIND, INPUT_RANGE = "float32", (0, 255)
INT8_INPUT_KIND = "uint8"


def write(source: ExportSource, folder: Path, calibration: np.ndarray | None = None) -> None:
    """Write the format into an existing folder.

    Args:
        calibration: training images uint8 ``[N, S, S, 3]``, whose activations set the ranges of 8-bit numbers; None
            keeps float32.
    """
    import tensorflow as tf

    # The probabilities alone: phones' libraries take one tensor for the answer.
    loaded = tf.saved_model.load(str(source.saved_model))
    serve = loaded.signatures["serving_default"]
    spec = tf.TensorSpec((None, source.image_size, source.image_size, 3), tf.float32, name=INPUT)
    alone = tf.function(lambda image: {OUTPUT: probabilities_of(serve(image))}, input_signature=[spec])
    converter = tf.lite.TFLiteConverter.from_concrete_functions([alone.get_concrete_function()], loaded)
    if calibration is not None:

        def samples() -> Iterator[list[np.ndarray]]:
            for image in calibration:
                yield [image[None].astype(np.float32)]

        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = samples
        # Nothing in float but the answer, so that chips without floats run all of it. Pixels are whole numbers
        # already, of which none is lost.
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.uint8
        converter.inference_output_type = tf.float32
    model = {key: str(value) for key, value in dict(source.about.get("model") or {}).items()}  # type: ignore[call-overload]
    about = f"{len(source.classes)} classes of photographs, {source.image_size} px, made with graft"
    converted = with_metadata(converter.convert(), model.get("name", "graft"), about, model.get("version", ""))
    (folder / FILE).write_bytes(converted)
    with zipfile.ZipFile(folder / FILE, "a") as archive:
        archive.writestr(LABELS_FILE, "\n".join(source.classes) + "\n")
        archive.writestr("graft.json", json.dumps(source.about, ensure_ascii=False, indent=1))


def load(folder: Path) -> Run:
    """Return a function that runs what :func:`write` wrote, an image at a time.

    It takes images as :func:`graft.deployment.export.saved_model.load` describes them.
    """
    import tensorflow as tf

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it will move to a package of its own
        interpreter = tf.lite.Interpreter(str(folder / FILE), num_threads=cores())
    interpreter.allocate_tensors()
    (given,), (output,) = interpreter.get_input_details(), interpreter.get_output_details()

    def run(images: np.ndarray) -> np.ndarray:
        outputs = []
        for image in images:
            interpreter.set_tensor(given["index"], image[None].astype(given["dtype"]))
            interpreter.invoke()
            outputs.append(interpreter.get_tensor(output["index"]))
        return np.concatenate(outputs)

    return run
