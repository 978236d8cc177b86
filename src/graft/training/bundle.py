"""Writing a trained model as a bundle: what is evaluated, registered and served, see graft.inference.model."""

from __future__ import annotations

import shutil
from pathlib import Path

import keras
import numpy as np

from graft.inference.images import DEFAULT_MAX_PIXELS
from graft.inference.model import SAVED_MODEL
from graft.inference.record import write_settings
from graft.inference.trial import trial_images


def write_bundle(
    model: keras.Model, classes: list[str], image_size: int, folder: Path, temperature: float = 1.0
) -> None:
    """Exports ``model`` (images to logits) with ``softmax(logits / temperature)`` behind it, and its settings.

    A SavedModel holds graph and weights whole, also those of a Hub module, and needs neither graft nor Keras to
    be loaded. What is in ``folder`` already goes.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    cooled = keras.layers.Rescaling(1 / temperature, dtype="float32", name="temperature")(model.output)
    probabilities = keras.layers.Softmax(dtype="float32", name="probabilities")(cooled)
    served = keras.Model(model.input, probabilities, name="served")
    served.export(str(folder / SAVED_MODEL), verbose=False)
    answers = served(trial_images(image_size).astype(np.float32), training=False)
    settings = {
        "classes": classes,
        "image_size": image_size,
        "max_pixels": DEFAULT_MAX_PIXELS,
        "temperature": temperature,
        "answers": keras.ops.convert_to_numpy(answers).tolist(),
    }
    write_settings(folder, settings)
