"""Predict photographs on Ray: actors read, decode and answer for files that all nodes see under the same paths."""

import os
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from graft.core.cluster import ClusterStep, rows_on_cluster
from graft.core.errors import GraftError
from graft.deployment.predict.inputs import Photograph, photograph_of
from graft.deployment.predict.predict_photographs import CHUNK, PredictedBatch, predict_photographs

# Photographs whose names are in memory at a time; actors open the model once for so many.
PART = 100_000


def predict_on_cluster(
    bundle: Path, count: int, wanted: Mapping[str, Any] | None, photographs: Iterable[Photograph]
) -> Iterator[PredictedBatch]:
    """Yield the predictions of a bundle for files, some hundred photographs at a time, in order.

    A photograph that cannot be read has its problem in its place and stops nothing.

    Args:
        bundle, count, wanted: as :func:`graft.networks.engines.open_classifier.open_classifier` takes them, which
            every actor does.
        photographs: each with its path.

    Raises:
        GraftError: the cluster is gone, or a node cannot open the bundle.
    """
    waiting = iter(photographs)
    answers = ClusterStep(_Answers, (bundle.absolute(), count, wanted))
    while part := list(islice(waiting, PART)):
        files = [os.fsencode(os.path.abspath(one.path)) for one in part if one.path is not None]  # noqa: PTH100
        rows = rows_on_cluster({"file": files}, answers)
        for start in range(0, len(part), CHUNK):
            some = part[start : start + CHUNK]
            found = list(islice(rows, len(some)))
            yield PredictedBatch(
                [one.name for one in some],
                [one.key for one in some],
                [str(row["problem"]) for row in found],
                np.stack([row["probabilities"] for row in found]),
                [str(row["label"]) for row in found],
            )


class _Answers:
    """An actor with a classifier."""

    def __init__(self, bundle: Path, count: int, wanted: Mapping[str, Any] | None) -> None:
        from graft.networks.engines.open_classifier import open_classifier

        if not bundle.is_dir():
            raise GraftError(
                f"A node does not see {bundle}",
                "Let all nodes see the project and its cache under the same paths, or set compute.engine: local",
            )
        self._classifier = open_classifier(bundle, count, wanted)

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, Any]:
        files = [Path(os.fsdecode(bytes(file))) for file in batch["file"]]
        found = list(predict_photographs(self._classifier, (photograph_of(file, file.name) for file in files)))
        return {
            "problem": np.array([problem for some in found for problem in some.problems], object),
            "label": np.array([label for some in found for label in some.labels], object),
            "probabilities": np.concatenate([some.probabilities for some in found]),
        }
