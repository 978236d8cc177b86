"""The recent side of a comparison: photographs in files, folders and archives, or what a prediction log holds."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from graft.data.near_duplicates import Limits
from graft.monitoring.observing import Observation, observe, observe_all
from graft.monitoring.reference import predictions_of
from graft.monitoring.samples import (
    FIGURES,
    Predictions,
    Sample,
    figures_of,
    one_per_group,
    repeats_among,
)
from graft.params.models import Params
from graft.progress import progress_bar

if TYPE_CHECKING:
    import pandas as pd

    from graft.features.embedder import Embedder
    from graft.monitoring.log import PredictionLog
    from graft.prediction.inputs import Photographs
    from graft.prediction.predict import Classifier

# Images shown to the model at a time.
_CHUNK = 64


@dataclass(frozen=True)
class _Observed:
    """Observations as graft.training.images.KeyedImages."""

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
    photographs: Sequence[Photographs],
    params: Params,
    embedder: Embedder,
    classifier: Classifier | None,
    model: str,
) -> Sample:
    """Independent photographs of those given, and what backbone and model make of them.

    Where there are more than ``monitor.max_images``, that many are drawn by the hashes of their names.

    Args:
        photographs: see :func:`graft.prediction.inputs.find_photographs`.
        params: ``monitor.max_images``; ``validate`` says how large images may be, and what nearly repeats another.
        embedder: for features.
        classifier: for predictions, where there is a model.
        model: which that is, in words.
    """
    from graft.prediction.results import fingerprint

    names = (name for some in photographs for name in some.names())
    chosen = set(heapq.nsmallest(params.monitor.max_images, names, key=fingerprint))
    sizes = {embedder.image_size, *(classifier.image_sizes if classifier else ())}
    stream = (photograph for some in photographs for photograph in some.read(chosen.__contains__))
    kept_names, seen, unreadable = [], [], 0
    with progress_bar("Recent images", len(chosen)) as advance:
        for name, image in observe_all(stream, params.validate_.max_pixels, sorted(sizes)):
            advance(1)
            unreadable += bool(image.problem)
            if not image.problem:
                kept_names.append(name)
                seen.append(image)
    rows = independent(seen, params)
    images, names_of = [seen[row] for row in rows], [kept_names[row] for row in rows]
    missing = {} if classifier else {"predictions": model}
    return Sample(
        source="recent images",
        figures={name: np.array([getattr(image, name) for image in images], float) for name in FIGURES},
        seen=len(seen) + unreadable,
        unreadable=unreadable,
        repeats=len(seen) - len(images),
        features=features_of(embedder, images),
        predictions=predictions_of(_probabilities(classifier, images), classifier, model, "recent images")
        if classifier
        else None,
        missing=missing,
        thumbnails=(names_of, [image.pixels[embedder.image_size] for image in images]),
    )


def sample_log(
    log: PredictionLog, rows: pd.DataFrame, params: Params, embedder: Embedder, digest: str, model: str
) -> Sample:
    """Independent images of a log's latest rows, with the predictions that were made then.

    Features are those that were logged, if all were made by this backbone; else they are computed from images that
    were kept; else there are none.

    Args:
        log: where kept images are.
        rows: of it, see :meth:`graft.monitoring.log.PredictionLog.read`.
        params: as for :func:`sample_photographs`.
        embedder: for features.
        digest: of the model that the training side is asked; rows of another one have no predictions here.
        model: which that is, in words.
    """
    rows = rows.drop_duplicates("sha256", keep="last").tail(params.monitor.max_images)
    is_read = rows["problem"].to_numpy(str) == ""
    readable = rows[is_read].reset_index(drop=True)
    looked_at = [Observation(row.sha256, phash=row.phash) for row in readable.itertuples(index=False)]
    chosen = independent(looked_at, params)
    images = readable.iloc[chosen].reset_index(drop=True)
    missing: dict[str, str] = {}
    same_model = images["digest"].to_numpy(str) == digest
    predictions = None
    if digest and same_model.all() and len(images):
        predictions = Predictions(
            images["label"].to_numpy(str), images["probability"].to_numpy(float), model, "recent images"
        )
    else:
        missing["predictions"] = (
            f"{int((~same_model).sum())} of the log's rows are of another model than {model}"
            if digest
            else model
        )
    features, pixels = _logged_features(log, images, params, embedder)
    if features is None:
        missing["embedding"] = (
            "the log keeps neither embeddings of this backbone nor images "
            "(monitor.log.keep_embeddings or keep_images in params.yaml)"
        )
    return Sample(
        source="recent images",
        figures=figures_of(images),
        seen=len(rows),
        unreadable=int((~is_read).sum()),
        repeats=len(readable) - len(images),
        features=features,
        predictions=predictions,
        missing=missing,
        thumbnails=(list(images["sha256"]), pixels) if pixels else ((), ()),
    )


def independent(images: Sequence[Observation], params: Params) -> np.ndarray:
    """Indices of readable images, rising, of which none nearly repeats another."""
    limits = Limits(params.validate_.near_duplicate_bits, params.validate_.near_duplicate_difference)
    groups = repeats_among(images, limits)
    return one_per_group([image.sha256 for image in images], groups, len(images))


def features_of(embedder: Embedder, images: Sequence[Observation]) -> np.ndarray:
    """Features float32 ``[N, D]`` of images that were observed at the backbone's size."""
    return embedder.features(_Observed(images, embedder.image_size), "Features of recent images")


def _probabilities(classifier: Classifier, images: Sequence[Observation]) -> np.ndarray:
    found = [np.empty((0, len(classifier.classes)))]
    for start in range(0, len(images), _CHUNK):
        some = images[start : start + _CHUNK]
        pixels = {size: np.stack([image.pixels[size] for image in some]) for size in classifier.image_sizes}
        found.append(classifier.probabilities(pixels))
    return np.concatenate(found)


def _logged_features(
    log: PredictionLog, images: pd.DataFrame, params: Params, embedder: Embedder
) -> tuple[np.ndarray | None, list[np.ndarray]]:
    """Features of a log's images and, where the images were kept, their pixels."""
    kept = [log.image(sha256) for sha256 in images["sha256"]]
    size = embedder.image_size
    if len(kept) and all(data is not None for data in kept):
        seen = [observe(data, params.validate_.max_pixels, [size]) for data in kept if data is not None]
        return features_of(embedder, seen), [image.pixels[size] for image in seen]
    if len(images) and (images["embedded_by"] == embedder.identity).all():
        return np.stack(images["embedding"].to_list()).astype(np.float32), []
    return None, []
