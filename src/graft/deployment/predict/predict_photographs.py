"""Run a classifier over a stream of photographs: reading, decoding and computing at once, in bounded memory."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import numpy as np

from graft.bundle.decisions import NONE_OF_THESE, answered, label_names
from graft.bundle.images import UnreadableImageError
from graft.core.threads import in_threads
from graft.deployment.predict.inputs import Photograph

# Images computed at a time, fewer where they are large: three such chunks are in memory at once.
CHUNK = 256
CHUNK_BYTES = 64 * 1024**2
LEAST_CHUNK = 8


class Classifier(Protocol):
    """The part of :class:`graft.bundle.model.ImageClassifier` that predicting needs."""

    classes: list[str]
    image_sizes: list[int]

    def to_pixels(self, item: bytes) -> dict[int, np.ndarray]: ...

    def answers(self, pixels: dict[int, np.ndarray]) -> tuple[np.ndarray, np.ndarray]: ...


@dataclass(frozen=True)
class PredictedBatch:
    """Predictions for some photographs, in order.

    Attributes:
        names: of each.
        keys: of each, see :class:`graft.deployment.predict.inputs.Photograph`.
        problems: why it has no answer, ``""`` where it has one.
        probabilities: float32 ``[N, C]``; a row of nan for a photograph that has a problem.
        labels: the answers, each a class or ``unknown``; ``""`` for a photograph that has a problem.
    """

    names: list[str]
    keys: list[str]
    problems: list[str]
    probabilities: np.ndarray
    labels: list[str]

    def answered(self, classes: Sequence[str]) -> np.ndarray:
        """Return the probability of each answer, for ``unknown`` that of the best class, float32 ``[N]``."""
        place = {name: index for index, name in enumerate(classes)}
        indices = np.array([place.get(label, NONE_OF_THESE) for label in self.labels], np.int64)
        return answered(self.probabilities, indices)


@dataclass(frozen=True)
class _Decoded:
    name: str
    key: str
    problem: str
    pixels: dict[int, np.ndarray]


def predict_photographs(classifier: Classifier, photographs: Iterable[Photograph]) -> Iterator[PredictedBatch]:
    """Yield the classifier's predictions, some hundred photographs at a time, in order.

    A photograph that cannot be read has its problem in its place and stops nothing.
    """
    bytes_each = sum(3 * size**2 for size in classifier.image_sizes)
    chunk = max(LEAST_CHUNK, min(CHUNK, CHUNK_BYTES // bytes_each))
    decoded = _decode(classifier, photographs)
    with ThreadPoolExecutor(1) as pool:
        # One chunk is computed while the next one is read and decoded.
        under_way: Future[PredictedBatch] | None = None
        while batch := list(islice(decoded, chunk)):
            following = pool.submit(_predict, classifier, batch)
            if under_way is not None:
                yield under_way.result()
            under_way = following
        if under_way is not None:
            yield under_way.result()


def _decode(classifier: Classifier, photographs: Iterable[Photograph]) -> Iterator[_Decoded]:
    def decode(photograph: Photograph) -> _Decoded:
        try:
            return _Decoded(photograph.name, photograph.key, "", classifier.to_pixels(photograph.read()))
        except UnreadableImageError as error:
            return _Decoded(photograph.name, photograph.key, str(error), {})

    return in_threads(decode, photographs)


def _predict(classifier: Classifier, batch: list[_Decoded]) -> PredictedBatch:
    probabilities = np.full((len(batch), len(classifier.classes)), np.nan, np.float32)
    labels = [""] * len(batch)
    whole = [index for index, one in enumerate(batch) if not one.problem]
    if whole:
        pixels = {size: np.stack([batch[index].pixels[size] for index in whole]) for size in classifier.image_sizes}
        probabilities[whole], indices = classifier.answers(pixels)
        for row, label in zip(whole, label_names(classifier.classes, indices), strict=True):
            labels[row] = label
    return PredictedBatch(
        [one.name for one in batch], [one.key for one in batch], [one.problem for one in batch], probabilities, labels
    )
