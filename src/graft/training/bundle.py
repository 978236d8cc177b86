"""Writing a trained model as a bundle: what is evaluated, registered and served, see graft.inference.model."""

from __future__ import annotations

import json
from pathlib import Path

import keras

from graft.inference.images import DEFAULT_MAX_PIXELS
from graft.inference.model import SAVED_MODEL, SETTINGS_FILE


def write_bundle(model: keras.Model, classes: list[str], image_size: int, folder: Path) -> None:
    """Exports ``model`` (images to logits) with a softmax behind it, and its settings beside it.

    A SavedModel holds graph and weights whole, also those of a Hub module, and needs neither graft nor Keras to
    be loaded.
    """
    folder.mkdir(parents=True, exist_ok=True)
    probabilities = keras.layers.Softmax(dtype="float32", name="probabilities")(model.output)
    served = keras.Model(model.input, probabilities, name="served")
    served.export(str(folder / SAVED_MODEL), verbose=False)
    settings = {"classes": classes, "image_size": image_size, "max_pixels": DEFAULT_MAX_PIXELS}
    (folder / SETTINGS_FILE).write_text(json.dumps(settings, indent=1), encoding="utf-8")
