"""The recent side of a comparison: photographs in files, folders and archives, or what a prediction log holds.

Images are counted before any is left out, whatever it is left out for: because it cannot be read, repeats another one,
or is one too many.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from graft.bundle.decisions import answered, label_names
from graft.core.params.models import Params
from graft.core.progress import progress_bar
from graft.data.scan.near_duplicates import Limits
from graft.deployment.monitor.log_samples import FIGURES, ModelPredictions, Sample, one_per_group, repeats_among
from graft.deployment.monitor.observation import Observation, observe, observe_all

if TYPE_CHECKING:
    from graft.deployment.monitor.prediction_log import LoggedPrediction, PredictionLog
    from graft.deployment.predict.inputs import PhotographSource
    from graft.deployment.predict.predict_photographs import Classifier
    from graft.networks.features.embedder import Embedder

# Images shown to the model at a time.
_CHUNK = 64
_NO_PICTURES: tuple[list[str], list[np.ndarray]] = ([], [])


@dataclass(frozen=True)
class AskedModel:
    """The model whose predictions are compared.

    Attributes:
        classifier: it, or None where there is none.
        words: which it is; or why there is none.
        digest: of it, by which a log names it.
    """

    classifier: Classifier | None
    words: str
    digest: str


@dataclass(frozen=True)
class _Observed:
    """Observations as graft.networks.decode_images.KeyedImages."""

    images: Sequence[Observation]
    size: int

    def __len__(self) -> int:
        return len(self.images)

    @property
    def keys(self) -> Sequence[bytes]:
        return [bytes.fromhex(image.sha256) for image in self.images]

    def at(self, indices: np.ndarray) -> np.ndarray:
        return np.stack([self.images[index].pixels[self.size] for index in indices])


def sample_photographs(
    photographs: Sequence[PhotographSource], params: Params, embedder: Embedder, asked: AskedModel
) -> Sample:
    """Return independent photographs of those given, and what backbone and model make of them.

    Where there are more than ``monitor.max_images``, that many are drawn by the hashes of their names.

    Args:
        photographs: see :func:`graft.deployment.predict.inputs.find_photographs`.
        params: ``monitor`` says how many; ``validate`` how large images may be, and what nearly repeats another.
        asked: for predictions, where there is a model.
    """
    counts: Counter[str] = Counter()

    def names() -> Iterator[str]:
        for some in photographs:
            for name in some.names():
                counts["found"] += 1
                yield name

    chosen = set(heapq.nsmallest(params.monitor.max_images, names(), key=name_hash))
    classifier = asked.classifier
    sizes = {embedder.image_size, *(classifier.image_sizes if classifier else ())}
    stream = (one for some in photographs for one in some.read(lambda name, key: name in chosen))
    with progress_bar("Recent images", len(chosen)) as advance:
        seen = []
        for one in observe_all(stream, params.validate_.max_pixels, sorted(sizes)):
            advance(1)
            seen.append(one)
    readable = [(name, image) for name, image in seen if not image.problem]
    rows = independent([image for _, image in readable], params)
    images = [readable[row][1] for row in rows]
    is_enough = len(images) >= params.monitor.min_images
    return Sample(
        figures=_figures(images),
        seen=len(seen),
        passed_over=max(0, counts["found"] - len(seen)),
        unreadable=len(seen) - len(readable),
        repeats=len(readable) - len(images),
        features=features_of(embedder, images) if is_enough else None,
        predictions=_predictions(classifier, images) if classifier and is_enough else None,
        missing={} if classifier else {"predictions": asked.words},
        thumbnails=([readable[row][0] for row in rows], [image.pixels[embedder.image_size] for image in images]),
    )


def sample_log(
    log: PredictionLog, since: datetime | None, after: int, params: Params, embedder: Embedder, asked: AskedModel
) -> Sample:
    """Return independent images of a log's latest rows, with the predictions that were made then.

    These are the rows down to the one before which there would be more than ``monitor.max_images`` different images.
    An image that was logged more than once counts by its latest row, of the model that is asked where there is one.
    Features are of the images whose photograph was logged, or whose embedding was logged by this backbone.

    Args:
        params, embedder: as for :func:`sample_photographs`.
        asked: the model that the training side is asked; rows of another one have no predictions here.
    """
    latest: dict[str, LoggedPrediction] = {}
    seen = unreadable = 0
    times: list[datetime] = []
    for row in log.read(since, after, newest_first=True):
        sha256 = row.image.sha256
        if row.image.problem:
            unreadable += 1
        elif sha256 in latest:
            if asked.digest and row.digest == asked.digest != latest[sha256].digest:
                latest[sha256] = row
        elif len(latest) < params.monitor.max_images:
            latest[sha256] = row
        else:
            break
        seen += 1
        if row.time is not None:
            times = [row.time, *times[-1:]]
    different = list(latest.values())[::-1]
    images = [different[row] for row in independent([one.image for one in different], params)]
    missing: dict[str, str] = {}
    partial: dict[str, str] = {}
    answered = [one for one in images if one.digest == asked.digest] if asked.digest else []
    if not answered:
        missing["predictions"] = f"no image was answered by {asked.words}" if asked.digest else asked.words
    elif len(answered) < len(images):
        partial["predictions"] = f"{len(answered):,} of {len(images):,} images, the others had another model"
    features, pictures = None, _NO_PICTURES
    if len(images) >= params.monitor.min_images:
        features, pictures = _logged_features(log, images, params, embedder)
        count = 0 if features is None else len(features)
        words = f"{count:,} of {len(images):,} images, of the others the log keeps neither photograph nor embedding"
        if count < params.monitor.min_images:
            features = None
            missing["embedding"] = f"{words} of this backbone (monitor.log.keep_images, keep_embeddings)"
        elif count < len(images):
            partial["embedding"] = words
    return Sample(
        figures=_figures([one.image for one in images]),
        seen=seen,
        passed_over=log.count(since, after) - seen,
        unreadable=unreadable,
        repeats=seen - unreadable - len(images),
        features=features,
        predictions=ModelPredictions(
            np.array([one.label for one in answered], str),
            np.array([one.probability for one in answered]),
            "recent images",
        )
        if answered
        else None,
        missing=missing,
        partial=partial,
        thumbnails=pictures,
        period=(times[0], times[-1]) if times else None,
    )


def independent(images: Sequence[Observation], params: Params) -> np.ndarray:
    """Return the indices of readable images, rising, of which none nearly repeats another."""
    groups = repeats_among(images, Limits.of(params.validate_))
    return one_per_group([image.sha256 for image in images], groups, len(images))


def features_of(embedder: Embedder, images: Sequence[Observation]) -> np.ndarray:
    """Return features float32 ``[N, D]`` of images that were observed at the backbone's size."""
    return embedder.features(_Observed(images, embedder.image_size), "Features of recent images")


def name_hash(name: str) -> bytes:
    """Return a hash of a name, by which a sample of names is drawn."""
    return hashlib.blake2b(name.encode(), digest_size=8).digest()


def _figures(images: Sequence[Observation]) -> dict[str, np.ndarray]:
    return {name: np.array([getattr(image, name) for image in images], np.float64) for name in FIGURES}


def _predictions(classifier: Classifier, images: Sequence[Observation]) -> ModelPredictions:
    labels: list[str] = []
    confidence = [np.empty(0)]
    for start in range(0, len(images), _CHUNK):
        some = images[start : start + _CHUNK]
        pixels = {size: np.stack([image.pixels[size] for image in some]) for size in classifier.image_sizes}
        probabilities, indices = classifier.answers(pixels)
        labels += label_names(classifier.classes, indices)
        confidence.append(answered(probabilities, indices))
    return ModelPredictions(np.array(labels, str), np.concatenate(confidence), "recent images")


def _logged_features(
    log: PredictionLog, images: Sequence[LoggedPrediction], params: Params, embedder: Embedder
) -> tuple[np.ndarray | None, tuple[list[str], list[np.ndarray]]]:
    """Return features of the images that allow it, first those that were logged; and names and pixels of these."""
    size = embedder.image_size
    with_data, vectors = [], []
    for one, data in zip(images, log.images(one.image.sha256 for one in images), strict=True):
        seen = observe(data, params.validate_.max_pixels, [size]) if data is not None else None
        if seen is not None and not seen.problem:
            with_data.append(seen)
        elif one.embedding is not None and one.embedded_by == embedder.identity:
            vectors.append(one.embedding)
    parts = [features_of(embedder, with_data)] if with_data else []
    parts += [np.stack(vectors)] if vectors else []
    pictures = [image.sha256[:16] for image in with_data], [image.pixels[size] for image in with_data]
    return np.concatenate(parts) if parts else None, pictures
