"""A reusable SavedModel as TensorFlow Hub defines it, for ``hub.load`` and ``hub.KerasLayer``.

https://www.tensorflow.org/hub/reusable_saved_models: ``__call__(images, training)``, ``variables``,
``trainable_variables`` and ``regularization_losses``. Images are in 0..1, as Hub's common signature for images has
them (https://www.tensorflow.org/hub/common_signatures/images).

Its graph is the one that answers: without dropout, and with batch norm as it is, also where ``training`` is true.
Trainable are the variables that graft trained: the head alone where the backbone was frozen.
"""

from pathlib import Path

import numpy as np

from graft.deployment.export.bundle_source import OUTPUT, ExportSource, probabilities_of
from graft.networks.engines.openvino_run import Run

USAGE = """\
import tensorflow_hub as hub
model = hub.load(".")                                   # or, in a tf_keras model, hub.KerasLayer(".")
probabilities = model(images.astype("float32") / 255)   # RGB in 0..1
"""
INPUT_KIND, INPUT_RANGE = "float32", (0, 1)


def write(source: ExportSource, folder: Path) -> None:
    """Write the format into an existing folder."""
    import tensorflow as tf

    loaded = tf.saved_model.load(str(source.saved_model))
    serve = loaded.signatures["serving_default"]
    spec = tf.TensorSpec((None, source.image_size, source.image_size, 3), tf.float32, name="images")

    @tf.function
    def call(images, training=False):  # type: ignore[no-untyped-def]
        return probabilities_of(serve(images * 255.0))

    @tf.function(input_signature=[spec])
    def default(images):  # type: ignore[no-untyped-def]
        return {OUTPUT: call(images)}

    for training in (False, True):
        call.get_concrete_function(spec, training=training)
    module = tf.train.Checkpoint()
    module.__call__ = call
    module.network = loaded
    module.variables = list(loaded.variables)
    module.trainable_variables = list(loaded.trainable_variables)
    module.regularization_losses = []
    tf.saved_model.save(module, str(folder), signatures={"serving_default": default})


def load(folder: Path) -> Run:
    """Return a function that runs what :func:`write` wrote, by ``hub.load``.

    It takes images as :func:`graft.deployment.export.saved_model.load` describes them.
    """
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it imports the deprecated pkg_resources
        import tensorflow_hub
    import tensorflow as tf

    module = tensorflow_hub.load(str(folder))

    def run(images: np.ndarray) -> np.ndarray:
        return np.asarray(module(tf.constant(images, tf.float32) / 255.0).numpy())

    return run
