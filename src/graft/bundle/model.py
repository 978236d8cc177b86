"""A trained classifier as it is served: photographs in, label and probabilities out.

A bundle is a folder::

    model.json      classes, image size, pixel limit; temperature: what logits are divided by, inside the graph; view:
                    what is shown of a photograph, where that is not the whole;
                    answers: probabilities of the trial images; files: the SHA-256 of every other file; features,
                    where only the head was trained: what it is given; decide: see graft.bundle.decisions
    saved_model/    TensorFlow SavedModel: float32 [N, S, S, 3], RGB in 0..255, to probabilities [N, C] and, where the
                    network has some, the features [N, D] that its head is given
    known.npz       what it answers for images that it was not fitted to, and features.npz, of training images: see
                    graft.bundle.decisions
    head/           where only the head was trained, that alone: SavedModel of features float32 [N, D] to these

or, of an ensemble, whose probabilities are the weighted mean of its members'::

    model.json      classes, pixel limit, files, and of each member name and weight; weights sum to 1
    known.npz       as above
    members/<name>/ a bundle each, with classes in the same order
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from . import decisions
from .base64_text import NotBase64Error, base64_bytes
from .images import WHOLE, UnreadableImageError, decode, require_pixel_range, resize
from .paths import read_file, read_named
from .record import read_checked, read_settings

SAVED_MODEL = "saved_model"
HEAD = "head"
MEMBERS = "members"
# Outputs of a SavedModel; networks of TensorFlow Hub have the first alone, under a name of their own.
PROBABILITIES, FEATURES = "probabilities", "features"
INPUT_COLUMN = "image"
PATH_COLUMN = "path"
# Images per forward pass: past this, speed on a CPU no longer grows and memory does.
BATCH = 32


class Network(Protocol):
    """The network of a bundle that is no ensemble's, run with whatever engine."""

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Return probabilities float32 ``[N, C]`` of images ``[N, S, S, 3]``, RGB in 0..255."""
        ...

    def with_features(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the probabilities of images, and the features float32 ``[N, D]`` that the head is given."""
        ...


@dataclass(frozen=True)
class Part:
    """A network of a classifier.

    Attributes:
        weight: of its probabilities; those of all parts sum to 1.
        bundle: its own.
        image_size: S.
        network: what answers.
        training: features of training images, ``[R, D]``, of length 1 each; None where distances are not wanted, or
            there are none.
    """

    weight: float
    bundle: Path
    image_size: int
    network: Network
    training: np.ndarray | None = None


class ImageClassifier:
    """A bundle that is loaded and classifies photographs: encoded bytes, base64 text, or arrays of pixels.

    Args:
        open_network: opens the ``saved_model`` in the folder of a bundle that is no ensemble's; by default with
            TensorFlow.
        wanted: what to decide, see :func:`graft.bundle.decisions.decide`, for a bundle in which nothing was decided.

    Attributes:
        classes: labels in the order of the probabilities.
        image_sizes: the sides in pixels that images are wanted at, ascending: one, unless members of an ensemble
            differ.
        parts: its networks; one, unless this is an ensemble.
        max_pixels: larger images are refused.
        decisions: what is answered for probabilities; the most probable class where nothing was decided.

    Raises:
        ChangedModelError: the bundle's files are not what was written; none of them has been loaded.
    """

    def __init__(
        self,
        bundle: Path,
        open_network: Callable[[Path], Network] | None = None,
        wanted: Mapping[str, Any] | None = None,
    ) -> None:
        open_network = open_network or SavedModelNetwork
        settings = read_checked(bundle)
        self.classes: list[str] = settings["classes"]
        self.max_pixels: int = settings["max_pixels"]
        self._view: str = settings.get("view", WHOLE)
        self.known = decisions.Known.read(bundle)
        decided = settings.get(decisions.DECIDE)
        if decided is None:
            decided = decisions.decide(self.known, self.classes, wanted) if wanted and self.known else {}
        self.decided: dict[str, Any] = decided
        self.decisions = decisions.Decisions.of(decided, self.classes)
        members = settings.get("members")
        parts = (
            [(member["weight"], bundle / MEMBERS / member["name"]) for member in members]
            if members
            else [(1.0, bundle)]
        )
        self.parts = [
            Part(weight, folder, read_settings(folder)["image_size"], open_network(folder), self._training(folder))
            for weight, folder in parts
        ]
        self.image_sizes = sorted({part.image_size for part in self.parts})

    def probabilities(self, pixels: Mapping[int, np.ndarray]) -> np.ndarray:
        """Return probabilities float32 ``[N, C]`` of images.

        Args:
            pixels: the images at each of ``image_sizes``: by S, ``[N, S, S, 3]``, RGB in 0..255.

        Raises:
            UnreadableImageError: an image looks scaled to 0..1.
        """
        for images in pixels.values():
            require_pixel_range(images)
        outputs = sum(part.weight * part.network(pixels[part.image_size]) for part in self.parts)
        return np.asarray(outputs, np.float32)

    def answers(self, pixels: Mapping[int, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Return probabilities as :meth:`probabilities` does, and the class index of each answer, int ``[N]``.

        An index of -1 stands for none of the classes, see :mod:`.decisions`.
        """
        if not any(part.training is not None for part in self.parts):
            probabilities = self.probabilities(pixels)
            return probabilities, self.decisions.indices(probabilities, np.full(len(probabilities), np.nan))
        for images in pixels.values():
            require_pixel_range(images)
        found, far, total = [], [], 0.0
        for part in self.parts:
            if part.training is None:
                found.append(part.weight * part.network(pixels[part.image_size]))
                continue
            probabilities, features = part.network.with_features(pixels[part.image_size])
            found.append(part.weight * probabilities)
            far.append(part.weight * decisions.distances(features, part.training))
            total += part.weight
        probabilities = np.asarray(sum(found), np.float32)
        return probabilities, self.decisions.indices(probabilities, np.asarray(sum(far) / total))

    def _training(self, part: Path) -> np.ndarray | None:
        """Return the features that distances of a part are measured to, where a limit is set."""
        file = part / decisions.FEATURES_FILE
        if self.decisions.distance == np.inf or not file.is_file():
            return None
        with np.load(file, allow_pickle=False) as found:
            return np.asarray(found["features"], np.float32)

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> Any:
        """Predict, as MLflow's entry point.

        Args:
            model_input: a DataFrame with the column ``image``, a list, an array ``[N, H, W, 3]``, or a single
                photograph; each item as :meth:`to_pixels` takes it. A DataFrame may have a column ``path`` instead,
                or for the rows that lack an image: files below the folders that GRAFT_MODEL_PATHS names, see
                :mod:`.paths`.

        Returns:
            A DataFrame with a row per image: ``label``, ``probability`` and ``probabilities`` (by class). The label
            may be ``unknown``, for none of the classes; the probability is then that of the best one.

        Raises:
            ValueError: there is no such column, or an item is no readable image; the message names its position.
        """
        import pandas as pd

        items = model_input
        if isinstance(items, pd.DataFrame):
            items = list(_items_of(items))
        if isinstance(items, (bytes, bytearray, str, os.PathLike)) or (
            isinstance(items, np.ndarray) and items.ndim == 3
        ):
            items = [items]
        probabilities, indices = self.answers(self._stack(items))
        return pd.DataFrame(
            {
                "label": decisions.label_names(self.classes, indices),
                "probability": decisions.answered(probabilities, indices).astype(float),
                "probabilities": [dict(zip(self.classes, map(float, row), strict=True)) for row in probabilities],
            }
        )

    def to_pixels(
        self, item: bytes | str | os.PathLike[str] | _NamedPhotograph | Sequence[Any] | np.ndarray
    ) -> dict[int, np.ndarray]:
        """Return one photograph at each of ``image_sizes``: by S, uint8 ``[S, S, 3]``.

        Args:
            item: the bytes of an image file, the same as base64 text, or pixels ``[H, W, 3]``, RGB in 0..255. A
                :class:`pathlib.Path` is read: no request can carry one, only code that runs here can make it.

        Raises:
            UnreadableImageError: it is none of these.
        """
        if isinstance(item, _NamedPhotograph):
            item = read_named(item.text)
        if isinstance(item, os.PathLike):
            item = read_file(item)
        if isinstance(item, str):
            try:
                item = base64_bytes(item)
            except NotBase64Error as error:
                raise UnreadableImageError(f"text that is not base64: {error}") from None
        if isinstance(item, (bytes, bytearray, memoryview)):
            # Not once at the largest size: each network sees just what it would see alone, and was trained on.
            return {size: decode(bytes(item), size, self.max_pixels, self._view) for size in self.image_sizes}
        try:
            pixels = np.asarray(item)
            if pixels.dtype == object:
                pixels = np.array(pixels.tolist())
        except ValueError:
            raise UnreadableImageError("rows of pixels of unequal length") from None
        if pixels.ndim != 3 or pixels.shape[2] != 3 or not np.issubdtype(pixels.dtype, np.number) or not pixels.size:
            raise UnreadableImageError(f"an array of shape {pixels.shape} instead of [height, width, 3]")
        require_pixel_range(pixels)
        image = Image.fromarray(np.rint(pixels).astype(np.uint8))
        return {size: resize(image, size, self._view) for size in self.image_sizes}

    def _stack(self, items: Iterable[Any]) -> dict[int, np.ndarray]:
        pixels = []
        for position, item in enumerate(items):
            try:
                pixels.append(self.to_pixels(item))
            except UnreadableImageError as error:
                raise ValueError(f"Image {position} cannot be used: {error}.") from None
        return {
            size: np.stack([one[size] for one in pixels]) if pixels else np.empty((0, size, size, 3), np.uint8)
            for size in self.image_sizes
        }


class SavedModelNetwork:
    """A network run with TensorFlow, see :class:`Network`."""

    def __init__(self, bundle: Path) -> None:
        import tensorflow as tf

        # Else a GPU rounds to ten bits, and answers otherwise than the model that was judged.
        tf.config.experimental.enable_tensor_float_32_execution(False)
        self._module = tf.saved_model.load(str(bundle / SAVED_MODEL))  # keeps the variables alive
        self._serve = self._module.signatures["serving_default"]
        self._input_name = next(iter(self._serve.structured_input_signature[1]))

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        return self._run(pixels)[0]

    def with_features(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        probabilities, features = self._run(pixels, FEATURES)
        return probabilities, features

    def _run(self, pixels: np.ndarray, *others: str) -> list[np.ndarray]:
        import tensorflow as tf

        outputs = []
        # An empty input is one empty batch, whose answer has the right shape.
        for start in range(0, max(1, len(pixels)), BATCH):
            batch = tf.constant(np.asarray(pixels[start : start + BATCH], dtype=np.float32))
            found = self._serve(**{self._input_name: batch})
            probabilities = found[PROBABILITIES] if PROBABILITIES in found else next(iter(found.values()))
            outputs.append([probabilities.numpy(), *(found[name].numpy() for name in others)])
        return [np.concatenate(parts) for parts in zip(*outputs, strict=True)]


@dataclass(frozen=True)
class _NamedPhotograph:
    """A photograph that a row names by path."""

    text: str


def _items_of(frame: Any) -> Iterable[Any]:
    if INPUT_COLUMN not in frame and PATH_COLUMN not in frame:
        found = ", ".join(map(str, frame.columns))
        raise ValueError(
            f"The images belong in a column '{INPUT_COLUMN}', or paths in '{PATH_COLUMN}'; there is: {found}."
        )
    nothing = [None] * len(frame)
    images = list(frame[INPUT_COLUMN]) if INPUT_COLUMN in frame else nothing
    paths = list(frame[PATH_COLUMN]) if PATH_COLUMN in frame else nothing
    for image, path in zip(images, paths, strict=True):
        # None, or what pandas puts in its place.
        is_missing = image is None or (isinstance(image, float) and np.isnan(image))
        yield _NamedPhotograph(path) if is_missing and isinstance(path, str) else image


def _load_pyfunc(data_path: str) -> ImageClassifier:
    """Open the bundle at a path; MLflow's loader calls this."""
    return ImageClassifier(Path(data_path))
