"""TensorFlow SavedModel, for TensorFlow Serving and whatever reads it: the model's own graph, unchanged."""

import shutil
from pathlib import Path

import numpy as np

from graft.deployment.export.bundle_source import ExportSource, probabilities_of
from graft.networks.engines.openvino_run import Run

USAGE = """\
import tensorflow as tf
model = tf.saved_model.load(".")
answer = model.signatures["serving_default"](tf.constant(images, tf.float32))   # RGB in 0..255
probabilities = answer["probabilities"]
"""
INPUT_KIND, INPUT_RANGE = "float32", (0, 255)


def write(source: ExportSource, folder: Path) -> None:
    """Write the format into an existing folder."""
    shutil.copytree(source.saved_model, folder, dirs_exist_ok=True)


def load(folder: Path) -> Run:
    """Return a function that runs what :func:`write` wrote.

    It takes images ``[N, S, S, 3]``, RGB in 0..255, and returns probabilities ``[N, C]``.
    """
    import tensorflow as tf

    module = tf.saved_model.load(str(folder))
    serve = module.signatures["serving_default"]

    def run(images: np.ndarray) -> np.ndarray:
        return np.asarray(probabilities_of(serve(tf.constant(images, tf.float32))).numpy())

    run.module = module  # type: ignore[attr-defined]  # keeps the variables alive
    return run
