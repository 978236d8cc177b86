"""Writing a trained model as a bundle: what is evaluated, registered and served, see graft.inference.model."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from graft.backbones.hub import HubModule
from graft.inference.images import DEFAULT_MAX_PIXELS
from graft.inference.model import SAVED_MODEL, SETTINGS_FILE
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
    on_features: HeadOnFeatures | None = None,
) -> None:
    """Exports ``model`` (images to logits) with a softmax behind it, and its settings beside it.

    A SavedModel holds graph and weights whole, also those of a Hub module, and needs neither graft nor Keras to
    be loaded. With ``on_features``, which shares the model's weights, it also answers for features.
    """
    folder.mkdir(parents=True, exist_ok=True)
    softmax = keras.layers.Softmax(dtype="float32", name="probabilities")
    served = keras.Model(model.input, softmax(model.output), name="served")
    settings = {"classes": classes, "image_size": image_size, "max_pixels": DEFAULT_MAX_PIXELS}
    path = str(folder / SAVED_MODEL)
    has_module = any(isinstance(layer, HubModule) for layer in served._flatten_layers())
    if keras.config.backend() != "tensorflow" or has_module:
        # Hub modules may hold tables, which Keras looks for; other backends have no graph of TensorFlow's to write.
        served.export(path, verbose=False)
    else:
        head = on_features and keras.Model(on_features.head.input, softmax(on_features.head.output))
        _save_graphs(served, head, path)
        if on_features:
            settings["features"] = {
                "backbone": on_features.backbone.model_dump(),
                "pooling": on_features.pooling,
                "description": on_features.description,
            }
    (folder / SETTINGS_FILE).write_text(json.dumps(settings, indent=1), encoding="utf-8")


def _save_graphs(served: keras.Model, head: keras.Model | None, path: str) -> None:
    """Writes variables and a graph of each model, with the signatures ``serving_default`` and ``head``.

    Keras' own export looks through every layer for tables and traces the graph several times: three times as long.
    """
    import tensorflow as tf

    def graph(model: keras.Model, name: str) -> Any:
        shape = (None, *model.input_shape[1:])

        @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32, name=name)], autograph=False)
        def answer(inputs: Any) -> Any:
            return {"probabilities": model(inputs, training=False)}

        return answer

    signatures = {"serving_default": graph(served, "image")}
    if head is not None:
        signatures["head"] = graph(head, "features")
    root = tf.Module()
    root.model_variables = [variable.value for variable in served.variables]
    tf.saved_model.save(root, path, signatures=signatures)
