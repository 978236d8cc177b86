"""Keep what was answered for images before they became training data, and weigh it as evidence about the champion.

``gate/deliveries.parquet`` in the champion's run has a row for each image of train and val that came after it: when it
was answered for (``at``), ``sha256``, ``group`` and ``label`` as of then, what the champion ``predicted`` and its
``log_loss``, and the same of the latest ``challenger`` that the image was new to. Rows are only ever added. They are
in the run because they are about that version: MLflow keeps runs when versions are deleted, everybody who shares the
registry adds to the same evidence, and it is backed up with the models.

Bets on these rows may be looked at every week (:mod:`graft.evaluation.betting`): on the challengers' being right where
the champion is wrong, and on the champion's being right less often than was promised of it. Images of one group are one
bet, of those that came first: a bet that was settled is never settled anew.
"""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict

from graft.core.paired import log_losses
from graft.core.params.gate_params import GateParams
from graft.core.wording import counted
from graft.evaluation.betting import winnings
from graft.registry.promotion.judged_predictions import VersionPredictions

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient


EVIDENCE_FILE = "gate/deliveries.parquet"
_COLUMNS = ["at", "sha256", "group", "label", "predicted", "log_loss"]
_COLUMNS += ["challenger", "challenger_predicted", "challenger_log_loss"]


class DeliveryEvidence(BaseModel):
    """What images that came after the champion say of it.

    Attributes:
        images: that came later and that a challenger was asked about too.
        champion, challengers: shares of these that each is right on, 0..1.
        better: evidence that the challengers are right more often, see :func:`graft.evaluation.betting.winnings`.
        alone: images that the champion was asked about, with and without a challenger.
        reached: share of these that it is right on.
        promised: lower end of what it was said to be right on; None where nothing was.
        broken: evidence that it is right less often than that.
        needed: what such evidence has to reach.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    images: int = 0
    champion: float = 0.0
    challengers: float = 0.0
    better: float = 1.0
    alone: int = 0
    reached: float = 0.0
    promised: float | None = None
    broken: float = 1.0
    needed: float

    @property
    def is_stuck(self) -> bool:
        """Whether the challengers are shown to be better than the champion."""
        return self.better >= self.needed

    @property
    def is_broken(self) -> bool:
        """Whether the champion is shown to be worse than was said."""
        return self.broken >= self.needed

    def sentences(self) -> list[str]:
        """Return what a person needs to know; nothing where no image came later."""
        shown = "which shows it: the champion is stuck" if self.is_stuck else f"{self.needed:.0f} would show it"
        better = (
            f"Of {counted(self.images, 'image')} that came later the champion has {self.champion:.1%} right, "
            f"challengers {self.challengers:.1%}: evidence {self.better:.1f} to 1 that it is worse; {shown}."
        )
        return [better] * bool(self.images) + self._broken()

    def shown(self) -> str:
        """Return what is shown, in sentences; "" for nothing."""
        return " ".join(self.sentences() if self.is_stuck else self._broken())

    def _broken(self) -> list[str]:
        if not self.is_broken or self.promised is None:
            return []
        return [
            f"The champion is worse than it was said to be: of {counted(self.alone, 'image')} that came later it has "
            f"{self.reached:.1%} right, and {self.promised:.1%} or more were promised; evidence {self.broken:.1f} to 1."
        ]


def read_evidence(client: MlflowClient, run_id: str) -> pd.DataFrame:
    """Return the rows about the champion of a run, in the order in which they came; none where it has none."""
    import pandas as pd

    files = client.list_artifacts(run_id, str(Path(EVIDENCE_FILE).parent)) if run_id else []
    if EVIDENCE_FILE not in {entry.path for entry in files}:
        return pd.DataFrame(columns=_COLUMNS)
    with tempfile.TemporaryDirectory() as folder:
        return pd.read_parquet(client.download_artifacts(run_id, EVIDENCE_FILE, folder))


def add_evidence(client: MlflowClient, run_id: str, record: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Write more rows below those that the run has; return all of them."""
    import pandas as pd

    if not len(rows):
        return record
    both = pd.concat([record, rows], ignore_index=True) if len(record) else rows
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / Path(EVIDENCE_FILE).name
        both.to_parquet(file, index=False)
        client.log_artifact(run_id, str(file), str(Path(EVIDENCE_FILE).parent))
    return both


def weigh(record: pd.DataFrame, later: pd.DataFrame, promised: float | None, gate: GateParams) -> DeliveryEvidence:
    """Return what the evidence comes to now.

    Args:
        record: see :func:`read_evidence`.
        later: columns sha256, label and group of the images in train and val: what was withdrawn, or is a test image
            by now, counts no more, and what was corrected counts as it is.
        promised: of the champion's accuracy, the lower end, 0..1.
    """
    needed = 1 / (1 - gate.confidence)
    # A group is called by the least SHA-256 in it, so that its name changes as it grows.
    rows = record.drop(columns=["label", "group"]).merge(later[["sha256", "label", "group"]], on="sha256")
    rows = rows[rows["at"] == rows.groupby("group")["at"].transform("min")]
    if not len(rows):
        return DeliveryEvidence(promised=promised, needed=needed)
    right, also = rows["predicted"] == rows["label"], rows["challenger_predicted"] == rows["label"]
    both = rows["challenger"] != ""

    def means(values: pd.Series) -> np.ndarray:
        """Return the mean of each group, in the order in which groups came."""
        return values.astype(float).groupby(rows["group"], sort=False).mean().to_numpy()

    return DeliveryEvidence(
        images=int(both.sum()),
        champion=float(right[both].mean()) if both.any() else 0.0,
        challengers=float(also[both].mean()) if both.any() else 0.0,
        better=winnings(means((also.astype(float) - right)[both])),
        alone=len(rows),
        reached=float(right.mean()),
        promised=promised,
        broken=1.0 if promised is None else winnings(means(promised - right.astype(float))),
        needed=needed,
    )


def rows_of(
    images: pd.DataFrame, champion: VersionPredictions, challengers: list[tuple[str, VersionPredictions]]
) -> pd.DataFrame:
    """Return a row for each image: of the champion, and of the first of ``challengers`` that was asked about it."""
    rows = images[["sha256", "group", "label"]].reset_index(drop=True)
    rows["at"] = datetime.now(UTC).isoformat(timespec="microseconds")
    rows[["predicted", "log_loss"]] = _answers(champion, rows)
    rows["challenger"], rows["challenger_predicted"], rows["challenger_log_loss"] = "", "", np.nan
    for number, predictions in reversed(challengers):
        asked = rows["sha256"].isin(predictions.sha256)
        found = _answers(predictions, rows[asked])
        rows.loc[asked, "challenger_predicted"] = found["predicted"]
        rows.loc[asked, "challenger_log_loss"] = found["log_loss"]
        rows.loc[asked, "challenger"] = number
    return rows[_COLUMNS]


def _answers(predictions: VersionPredictions, images: pd.DataFrame) -> pd.DataFrame:
    """Return what is predicted for images, and the log loss of each; columns predicted and log_loss."""
    import pandas as pd

    classes = sorted({*predictions.classes, *images["label"]})
    probabilities = predictions.of(list(images["sha256"]), classes)
    labels = np.array([classes.index(label) for label in images["label"]], int)
    of = predictions.by_image()
    return pd.DataFrame(
        {"predicted": [of[one] for one in images["sha256"]], "log_loss": log_losses(probabilities, labels)},
        index=images.index,
    )
