"""Export the SavedModels of a frozen backbone with a head, and of the head: once; other heads are filled in.

Most of an export is the backbone's: to build it, to trace it, and to write its graph. Of another head with the same
layers only the weights differ, and those of the backbone are copied from the export that is cached beside its features,
see :mod:`graft.networks.engines.artifact_cache`::

    saved_model/     as a bundle holds it, with the weights of some head
    head/            likewise
    trial.npy        features float32 [8, D] of the trial images, by the exported backbone
"""

import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np

from graft.bundle import trial
from graft.bundle.model import FEATURES, HEAD, PROBABILITIES, SAVED_MODEL
from graft.bundle.trial import trial_images
from graft.core.source_digest import source_digest
from graft.networks.engines import trace as tracing
from graft.networks.engines.artifact_cache import cached_or_made
from graft.networks.engines.trace import inference_graph, save_traced, traced
from graft.training.head_on_backbone import HeadOnBackbone

TRIAL_FILE = "trial.npy"
MODELS = (SAVED_MODEL, HEAD)
# Of a SavedModel, and what its variables are called there: those of the backbone first, then those of the head.
VARIABLES = "variables/variables"
WEIGHT = "variables/{}/.ATTRIBUTES/VARIABLE_VALUE"
SCALE = "scale/.ATTRIBUTES/VARIABLE_VALUE"
# What decides how an export is made, besides the network.
CODE = (Path(__file__), Path(tracing.__file__), Path(trial.__file__))


def save_with_backbone(network: HeadOnBackbone, temperature: float, folder: Path) -> np.ndarray:
    """Write both SavedModels: images to ``softmax(logits / temperature)`` and features, and features to the former.

    Args:
        network: with a backbone of Keras', under TensorFlow.
        folder: of a bundle, where neither is yet.

    Returns:
        Probabilities float32 ``[8, C]`` of the trial images.
    """
    store = network.backbone.store
    cached = None if store is None else store.artifact_folder(_description(network))
    return cached_or_made(
        cached, lambda made: _export(network, made), lambda export: _fill(export, network.head, temperature, folder)
    )


def _description(network: HeadOnBackbone) -> dict[str, Any]:
    """Return all that decides the graph and the backbone's weights, JSON-ready."""
    import tensorflow as tf

    params = network.head_params
    layers = {"hidden": params.hidden, "batch_norm": params.batch_norm, "classes": network.head.output_shape[1]}
    return {
        "export": network.backbone.network_description,
        "head": layers,
        "code": source_digest(*CODE),
        "tensorflow": tf.__version__,
    }


def _export(network: HeadOnBackbone, folder: Path) -> None:
    """Trace backbone and head, and write what is described above."""
    import tensorflow as tf

    backbone, head = network.backbone.built.model, network.head
    scale = tf.Variable(1.0, trainable=False, name="scale")
    features_of = inference_graph(backbone)

    def probabilities_of(features: Any) -> dict[str, Any]:
        return {PROBABILITIES: tf.nn.softmax(head(features, training=False) * scale)}

    def both_of(images: Any) -> dict[str, Any]:
        features = features_of(images)
        return {**probabilities_of(features), FEATURES: features}

    def save(graph: Any, weights: list[Any], name: str) -> None:
        save_traced({"serving_default": graph}, weights, head.trainable_weights, folder / name, scale=scale)

    # Weights alone, without the seeds of dropout, which a head may lack that has the same layers otherwise.
    served = traced(both_of, backbone.inputs[0].shape, "image")
    save(served, [*backbone.weights, *head.weights], SAVED_MODEL)
    save(traced(probabilities_of, head.inputs[0].shape, "features"), head.weights, HEAD)
    images = trial_images(network.backbone.built.image_size).astype(np.float32)
    np.save(folder / TRIAL_FILE, features_of(tf.constant(images)).numpy())


def _fill(export: Path, head: keras.Model, temperature: float, folder: Path) -> np.ndarray:
    """Copy an export, with the weights of this head in it; return its probabilities for the trial images."""
    scale = np.float32(1 / temperature)
    for name in MODELS:
        shutil.rmtree(folder / name, ignore_errors=True)  # begun from an export that was removed meanwhile
        _fill_model(export / name, head.get_weights(), scale, folder / name)
    logits = head(np.load(export / TRIAL_FILE), training=False)
    return np.asarray(keras.ops.convert_to_numpy(keras.ops.softmax(logits * scale)))


def _fill_model(source: Path, weights: list[np.ndarray], scale: np.float32, target: Path) -> None:
    """Copy a SavedModel, with other values for the last of its variables, and for the scale."""
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(source / VARIABLES))
    values = {name: reader.get_tensor(name) for name in sorted(reader.get_variable_to_shape_map())}
    first = sum(name.startswith("variables/") for name in values) - len(weights)
    filled = {WEIGHT.format(first + place): weight for place, weight in enumerate(weights)} | {SCALE: scale}
    for name, value in filled.items():
        assert values[name].shape == value.shape, name
    values |= filled
    (target / VARIABLES).parent.mkdir(parents=True)
    # Not its fingerprint, which is of the variables too; nothing depends on it.
    shutil.copyfile(source / "saved_model.pb", target / "saved_model.pb")
    tf.raw_ops.SaveV2(
        prefix=str(target / VARIABLES),
        tensor_names=list(values),
        shape_and_slices=[""] * len(values),
        tensors=list(values.values()),
    )
