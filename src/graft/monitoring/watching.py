"""Logging what `graft predict` is asked: photographs are looked at as they pass, and meet their answers again."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from graft.inference.images import UnreadableImageError
from graft.monitoring.log import LoggedPrediction, PredictionLog
from graft.monitoring.observing import Observation, observe
from graft.monitoring.recent import features_of

if TYPE_CHECKING:
    from graft.features.embedder import Embedder
    from graft.prediction.inputs import Photograph
    from graft.prediction.predict import Answers


class Watcher:
    """Sits between photographs and their answers.

    Args:
        log: where rows go.
        model, digest: which model answers, in words and by its digest.
        classes: of the model, in the order of its probabilities.
        max_pixels: larger images count as unreadable.
        embedder: for the embeddings, where the log keeps them.
    """

    def __init__(
        self,
        log: PredictionLog,
        model: str,
        digest: str,
        classes: list[str],
        max_pixels: int,
        embedder: Embedder | None = None,
    ) -> None:
        self._log, self._model, self._digest = log, model, digest
        self._classes, self._max_pixels, self._embedder = classes, max_pixels, embedder
        # Lists, since a tar file may hold a name twice.
        self._seen: dict[str, list[tuple[Observation, bytes | None]]] = {}
        self._lock = threading.Lock()

    def watch(self, photographs: Iterable[Photograph]) -> Iterator[Photograph]:
        """The same photographs; each is looked at when it is read, in the reader's thread."""
        from graft.prediction.inputs import Photograph

        for photograph in photographs:
            yield Photograph(photograph.name, lambda it=photograph: self._look(it))  # type: ignore[misc]

    def log(self, answers: Answers) -> None:
        """Logs answers for photographs that were watched. Raises as :meth:`PredictionLog.append`."""
        with self._lock:
            seen = [self._seen[name].pop(0) for name in answers.names]
            for name in answers.names:
                if not self._seen.get(name, True):
                    del self._seen[name]
        embeddings = self._embeddings([image for image, _ in seen])
        rows = []
        for number, ((image, data), problem) in enumerate(zip(seen, answers.problems, strict=True)):
            probabilities = answers.probabilities[number]
            if problem and not image.problem:
                # The model refused what looked sound here, for example for its own limit of pixels.
                image = Observation(image.sha256, problem)
            row = {"image": image, "model": self._model, "digest": self._digest}
            if not problem:
                best = int(probabilities.argmax())
                row |= {"label": self._classes[best], "probability": float(probabilities[best]), "data": data}
                if number in embeddings and self._embedder is not None:
                    row |= {"embedding": embeddings[number], "embedded_by": self._embedder.identity}
            rows.append(LoggedPrediction(**row))  # type: ignore[arg-type]
        self._log.append(rows)

    def _look(self, photograph: Photograph) -> bytes:
        sizes = [self._embedder.image_size] if self._embedder else []
        try:
            data = photograph.read()
        except UnreadableImageError as error:
            self._remember(photograph.name, Observation("", str(error)), None)
            raise
        seen = observe(data, self._max_pixels, sizes)
        self._remember(photograph.name, seen, data if self._log.params.keep_images else None)
        return data

    def _remember(self, name: str, image: Observation, data: bytes | None) -> None:
        with self._lock:
            self._seen.setdefault(name, []).append((image, data))

    def _embeddings(self, images: list[Observation]) -> dict[int, np.ndarray]:
        readable = [number for number, image in enumerate(images) if not image.problem]
        if self._embedder is None or not readable:
            return {}
        features = features_of(self._embedder, [images[number] for number in readable])
        return dict(zip(readable, features, strict=True))
