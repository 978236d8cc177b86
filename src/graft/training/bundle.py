"""Writing a trained model as a bundle: what is evaluated, registered and served, see graft.inference.model."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from graft.backbones.hub import HubModule
from graft.inference.images import DEFAULT_MAX_PIXELS
from graft.inference.model import SAVED_MODEL
from graft.inference.record import write_settings
from graft.inference.trial import trial_images
from graft.params.strategies import HubBackboneParams, KerasBackboneParams, Pooling


@dataclass(frozen=True)
class HeadOnFeatures:
    """A head that was trained by itself, and what it is given; the rest of the model is as it was published.

    Attributes:
        head: features ``[N, D]`` to logits.
        backbone, pooling: what makes the features, as in params.
        description: of the space that keeps them, see :func:`graft.features.pooled.describe_features`.
    """

    head: keras.Model
    backbone: KerasBackboneParams | HubBackboneParams
    pooling: Pooling
    description: dict[str, Any]


def write_bundle(
    model: keras.Model,
    classes: list[str],
    image_size: int,
    folder: Path,
    temperature: float = 1.0,
    on_features: HeadOnFeatures | None = None,
) -> None:
    """Exports ``model`` (images to logits) with ``softmax(logits / temperature)`` behind it, and its settings.

    A SavedModel holds graph and weights whole, also those of a Hub module, and needs neither graft nor Keras to
    be loaded. With ``on_features``, which shares the model's weights, it also answers for features. What is in
    ``folder`` already goes.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)

    def answering(network: keras.Model, name: str) -> keras.Model:
        cooled = keras.layers.Rescaling(1 / temperature, dtype="float32", name="temperature")(network.output)
        softmax = keras.layers.Softmax(dtype="float32", name="probabilities")
        return keras.Model(network.input, softmax(cooled), name=name)

    served = answering(model, "served")
    trial = trial_images(image_size).astype(np.float32)
    settings: dict[str, Any] = {
        "classes": classes,
        "image_size": image_size,
        "max_pixels": DEFAULT_MAX_PIXELS,
        "temperature": temperature,
    }
    path = str(folder / SAVED_MODEL)
    has_module = any(isinstance(layer, HubModule) for layer in served._flatten_layers())
    if keras.config.backend() != "tensorflow" or has_module:
        # Hub modules may hold tables, which Keras looks for; other backends have no graph of TensorFlow's to write.
        served.export(path, verbose=False)
        answers = keras.ops.convert_to_numpy(served(trial, training=False))
    else:
        answers = _save_graphs(served, on_features and answering(on_features.head, "head"), path, trial)
        if on_features:
            settings["features"] = {
                "backbone": on_features.backbone.model_dump(),
                "pooling": on_features.pooling,
                "description": on_features.description,
            }
    settings["answers"] = answers.tolist()
    write_settings(folder, settings)


def _save_graphs(served: keras.Model, head: keras.Model | None, path: str, trial: np.ndarray) -> np.ndarray:
    """Writes variables and a graph of each model, with the signatures ``serving_default`` and ``head``.

    Keras' own export looks through every layer for tables and traces the graph several times: three times as long.

    Returns:
        What the served graph answers for the images ``trial``.
    """
    import tensorflow as tf

    def graph(model: keras.Model, name: str) -> Any:
        shape = (None, *model.input_shape[1:])

        @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32, name=name)], autograph=False)
        def answer(inputs: Any) -> Any:
            return {"probabilities": model(inputs, training=False)}

        # Traced here, once: saving would trace a function that is not, and running it would do so again.
        return answer.get_concrete_function()

    signatures = {"serving_default": graph(served, "image")}
    if head is not None:
        signatures["head"] = graph(head, "features")
    # Under the names that Keras' export gives them, and reusable SavedModels have.
    root = tf.train.Checkpoint()
    root.variables = [variable.value for variable in served.variables]
    root.trainable_variables = [variable.value for variable in served.trainable_variables]
    tf.saved_model.save(root, path, signatures=signatures)
    return np.asarray(signatures["serving_default"](tf.constant(trial))["probabilities"])
