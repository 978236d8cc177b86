"""What a registered model predicts for test images, kept with its run: an old model is only asked about new images.

``gate/predictions.parquet`` in the run has a row for each image: ``sha256``, ``label``, ``group``, ``predicted`` and
``answer`` as of when it was asked, and the probabilities as columns ``p_<class>``. The file itself says which files of
the model were asked, by their SHA-256, and how long a single photograph took.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from graft.evaluation.prediction_table import with_probabilities

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient

PREDICTIONS_FILE = "gate/predictions.parquet"
_FACTS = b"graft"


@dataclass(frozen=True)
class VersionPredictions:
    """The predictions of one model.

    Attributes:
        digest: SHA-256 over the files of the model.
        classes: in the order of the columns.
        sha256: of each image, each image once, ``[N]``.
        probabilities: float64 ``[N, C]``.
        latency_ms: median of single photographs, decoding included.
        answers: what it answers, a class or ``unknown``, ``[N]``; None: the most probable class.
    """

    digest: str
    classes: list[str]
    sha256: list[str]
    probabilities: np.ndarray
    latency_ms: float
    answers: list[str] | None = None

    def answered(self, sha256: Sequence[str]) -> np.ndarray:
        """Return what is answered for images, all of which it has, text ``[N]``."""
        found = dict(zip(self.sha256, self.answers or self.predicted().tolist(), strict=True))
        return np.array([found[digest] for digest in sha256], str)

    def predicted(self) -> np.ndarray:
        """Return the most probable class of each image, text ``[N]``."""
        return np.asarray(np.array(self.classes, str)[self.probabilities.argmax(axis=1)])

    def by_image(self) -> dict[str, str]:
        """Return the most probable class by image."""
        return dict(zip(self.sha256, self.predicted().tolist(), strict=True))

    def is_right(self, images: pd.DataFrame) -> np.ndarray:
        """Return whether the most probable class is an image's label, bool ``[N]``; False without a prediction."""
        return np.asarray(images["sha256"].map(self.by_image()) == images["label"], bool)

    def lacking(self, sha256: Sequence[str]) -> list[str]:
        """Return the images that it has no prediction for, each once, in their order."""
        existing = set(self.sha256)
        return [digest for digest in dict.fromkeys(sha256) if digest not in existing]

    def part(self, sha256: Sequence[str]) -> VersionPredictions:
        """Return the predictions for some images; an image without one is passed over."""
        wanted = set(sha256)
        rows = [row for row, digest in enumerate(self.sha256) if digest in wanted]
        answers = None if self.answers is None else [self.answers[row] for row in rows]
        hashes = [self.sha256[row] for row in rows]
        return VersionPredictions(self.digest, self.classes, hashes, self.probabilities[rows], self.latency_ms, answers)

    def joined(self, later: VersionPredictions) -> VersionPredictions:
        """Return these predictions and later ones of the same model, with the latency of the later."""
        if not self.sha256:
            return later
        probabilities = np.concatenate([self.probabilities, later.probabilities])
        both = [*(self.answers or self.predicted().tolist()), *(later.answers or later.predicted().tolist())]
        return VersionPredictions(
            self.digest, self.classes, self.sha256 + later.sha256, probabilities, later.latency_ms, both
        )

    def of(self, sha256: Sequence[str], classes: Sequence[str]) -> np.ndarray:
        """Return the probabilities of images ``[N, C]``, all of which it has, in the order of ``classes``.

        A class that the model does not know has probability 0: so a champion from before a class was added is wrong
        about it.
        """
        row = {digest: index for index, digest in enumerate(self.sha256)}
        found = np.zeros((len(sha256), len(classes)))
        columns = [classes.index(name) for name in self.classes]
        found[:, columns] = self.probabilities[[row[digest] for digest in sha256]]
        return found


@dataclass(frozen=True)
class LineMember:
    """A judged version: its place among all that were judged, what it was made by, and what it predicts."""

    version: str
    place: int
    recipe: str
    predictions: VersionPredictions


def no_predictions(digest: str) -> VersionPredictions:
    """Return the predictions of a model that was not asked yet."""
    return VersionPredictions(digest, [], [], np.zeros((0, 0)), float("nan"))


def log_predictions(client: MlflowClient, run_id: str, predictions: VersionPredictions, images: pd.DataFrame) -> None:
    """Write predictions into the model's run.

    Args:
        images: columns sha256, label and group of the present test images; earlier ones have neither.
    """
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    answers = predictions.answered(predictions.sha256)
    table = pd.DataFrame({"sha256": predictions.sha256, "predicted": predictions.predicted(), "answer": answers})
    table = table.merge(images.drop_duplicates("sha256")[["sha256", "label", "group"]], on="sha256", how="left")
    written = pa.Table.from_pandas(
        with_probabilities(table, predictions.classes, predictions.probabilities.astype(np.float32)),
        preserve_index=False,
    )
    facts = {"digest": predictions.digest, "classes": predictions.classes, "latency_ms": predictions.latency_ms}
    written = written.replace_schema_metadata({_FACTS: json.dumps(facts)})
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / Path(PREDICTIONS_FILE).name
        pq.write_table(written, file, compression="zstd")
        client.log_artifact(run_id, str(file), str(Path(PREDICTIONS_FILE).parent))


def read_predictions(client: MlflowClient, run_id: str) -> VersionPredictions | None:
    """Return the predictions in a run; None where it has none, as those that were judged by an earlier graft."""
    import pyarrow.parquet as pq

    folder = str(Path(PREDICTIONS_FILE).parent)
    if PREDICTIONS_FILE not in {entry.path for entry in client.list_artifacts(run_id, folder)}:
        return None
    with tempfile.TemporaryDirectory() as temporary:
        table = pq.read_table(client.download_artifacts(run_id, PREDICTIONS_FILE, temporary))
    facts = json.loads(table.schema.metadata[_FACTS])
    columns = [table[f"p_{name}"].to_numpy().astype(np.float64) for name in facts["classes"]]
    probabilities = np.stack(columns, axis=1) if columns else np.zeros((table.num_rows, 0))
    answers = table["answer"].to_pylist() if "answer" in table.column_names else None
    return VersionPredictions(
        facts["digest"], facts["classes"], table["sha256"].to_pylist(), probabilities, facts["latency_ms"], answers
    )
