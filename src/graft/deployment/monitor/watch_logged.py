"""Log what `graft predict` is asked: photographs are observed as they are read, and logged with their predictions."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from graft.bundle.images import UnreadableImageError
from graft.core.errors import GraftError
from graft.deployment.monitor.observation import Observation, observe
from graft.deployment.monitor.prediction_log import LoggedPrediction, PredictionLog
from graft.deployment.monitor.recent import features_of

if TYPE_CHECKING:
    from graft.deployment.predict.inputs import Photograph
    from graft.deployment.predict.predict_photographs import PredictedBatch
    from graft.networks.features.embedder import Embedder


class Watcher:
    """An observer between photographs and their predictions, which come in the same order.

    Args:
        model, digest: which model answers, in words and by its digest.
        classes: of the model, in the order of its probabilities.
        max_pixels: larger images count as unreadable.
        embedder: for the embeddings, where the log keeps them.

    Attributes:
        lost: predictions that could not be logged; and ``problem``, why the last of them could not.
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
        # A slot for each photograph that is under way, filled by the thread that reads it.
        self._seen: deque[list[LoggedPrediction]] = deque()
        self.lost, self.problem = 0, ""

    def watch(self, photographs: Iterable[Photograph]) -> Iterator[Photograph]:
        """Yield the same photographs; each is looked at when it is read, in the reader's thread."""
        for photograph in photographs:
            slot: list[LoggedPrediction] = []
            self._seen.append(slot)
            yield replace(photograph, read=partial(self._look, photograph, slot))

    def log(self, batch: PredictedBatch) -> None:
        """Log the predictions for the next photographs that were observed; what cannot be logged is counted."""
        seen = [self._seen.popleft()[0] for _ in batch.names]
        readable = [row for row, one in enumerate(seen) if not one.image.problem]
        if self._embedder is not None and readable:
            features = features_of(self._embedder, [seen[row].image for row in readable])
            for row, vector in zip(readable, features, strict=True):
                seen[row] = replace(seen[row], embedding=vector, embedded_by=self._embedder.identity)
        rows = []
        best = batch.answered(self._classes)
        for one, problem, label, probability in zip(seen, batch.problems, batch.labels, best, strict=True):
            if problem:
                # The model may refuse what looked sound here, for example for its own limit of pixels.
                rows.append(replace(one, image=Observation(one.image.sha256, problem), embedding=None))
            else:
                rows.append(replace(one, label=label, probability=float(probability)))
        try:
            self._log.append(rows)
        except GraftError as error:
            self.lost += len(rows)
            self.problem = error.what

    def _look(self, photograph: Photograph, into: list[LoggedPrediction]) -> bytes:
        sizes = [self._embedder.image_size] if self._embedder else []
        try:
            data = photograph.read()
        except UnreadableImageError as error:
            into.append(LoggedPrediction(Observation("", str(error)), self._model, self._digest))
            raise
        seen = observe(data, self._max_pixels, sizes)
        kept = data if self._log.params.keep_images else None
        into.append(LoggedPrediction(seen, self._model, self._digest, data=kept))
        return data
