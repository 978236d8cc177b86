"""Write a trained model as a bundle: what is evaluated, registered and served, see graft.bundle.model."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np

from graft.bundle.decisions import FEATURES_FILE, unit
from graft.bundle.images import DEFAULT_MAX_PIXELS, WHOLE
from graft.bundle.model import FEATURES, PROBABILITIES, SAVED_MODEL
from graft.bundle.record import write_settings
from graft.bundle.trial import trial_images
from graft.networks.backbones.backbone import LayerlessNetwork
from graft.networks.engines.trace import save_traced, traced
from graft.training.blend import Blend
from graft.training.decision_evidence import DecisionEvidence, features_model
from graft.training.ensembles.ensemble_bundle import write_ensemble_bundle
from graft.training.head_export import save_with_backbone
from graft.training.head_on_backbone import HeadOnBackbone, as_model


def write_bundle(
    network: keras.Model | HeadOnBackbone | Blend,
    classes: list[str],
    image_size: int,
    folder: Path,
    temperature: float = 1.0,
    view: str = WHOLE,
    evidence: DecisionEvidence | None = None,
) -> None:
    """Export a network (images to logits) with ``softmax(logits / temperature)`` behind it, and its settings.

    A SavedModel holds graph and weights whole, also those of a Hub module, and needs neither graft nor Keras to
    be loaded. A head on a frozen backbone has one of its own too. What is in ``folder`` already goes.

    Args:
        view: what the network is shown of a photograph, see :func:`graft.bundle.images.resize`.
        evidence: what decisions follow from.
    """
    shutil.rmtree(folder, ignore_errors=True)
    if isinstance(network, Blend):
        _write_blend(network, classes, folder, evidence)
        return
    folder.mkdir(parents=True)
    settings: dict[str, Any] = {
        "classes": classes,
        "image_size": image_size,
        "max_pixels": DEFAULT_MAX_PIXELS,
        "temperature": temperature,
        **({"view": view} if view != WHOLE else {}),
    }
    if isinstance(network, HeadOnBackbone) and not network.backbone_params.no_layers:
        probabilities = save_with_backbone(network, temperature, folder)
        settings["features"] = {
            "backbone": network.backbone_params.model_dump(),
            "pooling": network.backbone.pooling,
            "count": network.backbone.feature_count,
            "description": network.backbone.description,
        }
    else:
        trial = trial_images(image_size).astype(np.float32)
        probabilities = _save(as_model(network), temperature, folder / SAVED_MODEL, trial)
    settings["answers"] = probabilities.tolist()
    if evidence is not None:
        if evidence.known is not None:
            evidence.known.write(folder)
        _write_features(evidence.features[0], folder)
    write_settings(folder, settings)


def _write_features(features: np.ndarray | None, folder: Path) -> None:
    """Write the features ``[R, D]`` that distances are measured to, each of length 1."""
    if features is not None:
        np.savez_compressed(folder / FEATURES_FILE, features=unit(features).astype(np.float16))


def _write_blend(blend: Blend, classes: list[str], folder: Path, evidence: DecisionEvidence | None) -> None:
    """Write a bundle of bundles, each with a temperature of its own; ``folder`` is gone."""
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".members-") as scratch:
        members = {}
        for number, member in enumerate(blend.members):
            own = Path(scratch) / member.name
            part = None if evidence is None else DecisionEvidence(None, [evidence.features[number]])
            write_bundle(member.network, classes, member.image_size, own, member.temperature, evidence=part)
            members[member.name] = (member.weight, own)
        write_ensemble_bundle(members, folder, evidence.known if evidence else None)


def _save(model: keras.Model, temperature: float, path: Path, trial: np.ndarray) -> np.ndarray:
    """Write the SavedModel of a model for images; return its probabilities for the images ``trial``."""
    cooled = keras.layers.Rescaling(1 / temperature, dtype="float32", name="temperature")(model.output)
    softmax = keras.layers.Softmax(dtype="float32", name=PROBABILITIES)
    served = keras.Model(model.input, softmax(cooled), name="served")
    if any(isinstance(layer, LayerlessNetwork) for layer in served._flatten_layers()):
        # Hub modules may hold tables, which Keras looks for.
        served.export(str(path), verbose=False)
        return np.asarray(keras.ops.convert_to_numpy(served(trial, training=False)))
    features = features_model(model)
    if features is not None:
        served = keras.Model(model.input, {PROBABILITIES: served.output, FEATURES: features.output}, name="served")

    def answers(images: Any) -> dict[str, Any]:
        found = served(images, training=False)
        return found if features is not None else {PROBABILITIES: found}

    graph = traced(answers, model.input_shape, "image")
    save_traced({"serving_default": graph}, served.variables, served.trainable_variables, path)
    return np.asarray(graph(trial)[PROBABILITIES])
