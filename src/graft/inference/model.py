"""A trained classifier as it is served: photographs in, label and probabilities out.

A bundle is a folder::

    model.json      classes, image size, pixel limit
    saved_model/    TensorFlow SavedModel: float32 [N, S, S, 3], RGB in 0..255, to probabilities [N, C]
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from .images import UnreadableImageError, decode, resize

SETTINGS_FILE = "model.json"
SAVED_MODEL = "saved_model"
INPUT_COLUMN = "image"
BATCH = 32


class ImageClassifier:
    """Loads a bundle and answers for photographs: encoded bytes, base64 text, or arrays of pixels.

    Args:
        bundle: the folder described above.
    """

    def __init__(self, bundle: Path) -> None:
        import tensorflow as tf

        settings = json.loads((bundle / SETTINGS_FILE).read_text(encoding="utf-8"))
        self.classes: list[str] = settings["classes"]
        self.image_size: int = settings["image_size"]
        self.max_pixels: int = settings["max_pixels"]
        self._module = tf.saved_model.load(str(bundle / SAVED_MODEL))  # keeps the variables alive
        self._serve = self._module.signatures["serving_default"]
        self._input_name = next(iter(self._serve.structured_input_signature[1]))

    def probabilities(self, pixels: np.ndarray) -> np.ndarray:
        """Probabilities float32 ``[N, C]`` of images ``[N, S, S, 3]``, RGB in 0..255, S = ``image_size``."""
        import tensorflow as tf

        answers = [np.empty((0, len(self.classes)), np.float32)]
        for start in range(0, len(pixels), BATCH):
            batch = tf.constant(np.asarray(pixels[start : start + BATCH], dtype=np.float32))
            (answer,) = self._serve(**{self._input_name: batch}).values()
            answers.append(answer.numpy())
        return np.concatenate(answers)

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> Any:
        """MLflow's entry point.

        Args:
            model_input: a DataFrame with the column ``image``, a list, an array ``[N, H, W, 3]``, or a single
                photograph; each item as :meth:`to_pixels` takes it.
            params: unused; part of MLflow's interface.

        Returns:
            A DataFrame with a row per image: ``label``, ``probability`` and ``probabilities`` (by class).

        Raises:
            ValueError: there is no such column, or an item is no readable image; the message names its position.
        """
        import pandas as pd

        items = model_input
        if isinstance(items, pd.DataFrame):
            if INPUT_COLUMN not in items:
                found = ", ".join(map(str, items.columns))
                raise ValueError(f"The images belong in a column '{INPUT_COLUMN}'; there is: {found}.")
            items = items[INPUT_COLUMN]
        if isinstance(items, (bytes, bytearray, str)) or (isinstance(items, np.ndarray) and items.ndim == 3):
            items = [items]
        probabilities = self.probabilities(self._stack(items))
        best = probabilities.argmax(axis=1)
        return pd.DataFrame(
            {
                "label": [self.classes[i] for i in best],
                "probability": probabilities.max(axis=1).astype(float),
                "probabilities": [
                    dict(zip(self.classes, map(float, row), strict=True)) for row in probabilities
                ],
            }
        )

    def to_pixels(self, item: bytes | str | Sequence[Any] | np.ndarray) -> np.ndarray:
        """One photograph as uint8 ``[S, S, 3]``.

        Args:
            item: the bytes of an image file, the same as base64 text, or pixels ``[H, W, 3]``, RGB in 0..255.

        Raises:
            UnreadableImageError: it is none of these.
        """
        if isinstance(item, str):
            try:
                item = base64.b64decode(item, validate=True)
            except (binascii.Error, ValueError):
                raise UnreadableImageError("text that is not base64") from None
        if isinstance(item, (bytes, bytearray, memoryview)):
            return decode(bytes(item), self.image_size, self.max_pixels)
        try:
            pixels = np.asarray(item)
            if pixels.dtype == object:
                pixels = np.array(pixels.tolist())
        except ValueError:
            raise UnreadableImageError("rows of pixels of unequal length") from None
        if (
            pixels.ndim != 3
            or pixels.shape[2] != 3
            or not np.issubdtype(pixels.dtype, np.number)
            or not pixels.size
        ):
            raise UnreadableImageError(f"an array of shape {pixels.shape} instead of [height, width, 3]")
        if not np.isfinite(pixels).all() or pixels.min() < 0 or pixels.max() > 255:
            raise UnreadableImageError("pixels outside 0..255")
        return resize(Image.fromarray(np.rint(pixels).astype(np.uint8)), self.image_size)

    def _stack(self, items: Iterable[Any]) -> np.ndarray:
        pixels = []
        for position, item in enumerate(items):
            try:
                pixels.append(self.to_pixels(item))
            except UnreadableImageError as error:
                raise ValueError(f"Image {position} cannot be used: {error}.") from None
        return np.stack(pixels) if pixels else np.empty((0, self.image_size, self.image_size, 3), np.uint8)


def _load_pyfunc(data_path: str) -> ImageClassifier:
    """MLflow's loader calls this with the path of the bundle."""
    return ImageClassifier(Path(data_path))
