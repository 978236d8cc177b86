"""What a model reaches at work: its logged answers against labels that came later, or, without any, what it expects.

Without labels the expected accuracy is the mean of the probabilities that were answered: right as far as these are
calibrated on the images that come. Images of no known class and other cameras make it too high (docs/monitoring.md).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from graft.bundle.decisions import UNKNOWN
from graft.core.errors import GraftError
from graft.core.files import sha256_of
from graft.core.text_tables import read_text_table
from graft.deployment.monitor.shadow_answers import is_shadow
from graft.evaluation.intervals import share_interval

if TYPE_CHECKING:
    from graft.deployment.monitor.prediction_log import LoggedPrediction, PredictionLog


@dataclass(frozen=True)
class TrueLabel:
    """What an image shows, and what it belongs with: its group, or its own SHA-256."""

    label: str
    group: str


@dataclass(frozen=True)
class ReachedShare:
    """The share of some answers that is right.

    Attributes:
        name: of the class, the week or the model; ``all``.
        images: different images, ``unknown`` of which got no class; the others are right or wrong.
        right: share of those that got a class, and its 95 % interval ``low`` to ``high``; nan where none did.
        expected: mean of the probabilities that were answered for these.
    """

    name: str
    images: int
    unknown: int
    right: float
    low: float
    high: float
    expected: float


@dataclass(frozen=True)
class Reached:
    """The outcome of the answers in a log.

    Attributes:
        total: of all images with a label; ``classes`` by what they show, ``weeks`` and ``models`` by the log;
            models in the shadow (:mod:`graft.deployment.monitor.shadow_answers`) are among the last alone.
        unlabelled: images in the log without a label, and what their answers expect of themselves.
        new_classes: images of classes that no answer names, by class; right is to answer ``unknown``.
        missing: labels of images that the log does not have.
    """

    total: ReachedShare | None
    classes: list[ReachedShare]
    weeks: list[ReachedShare]
    models: list[ReachedShare]
    unlabelled: ReachedShare
    new_classes: dict[str, int]
    missing: int

    def as_record(self) -> dict[str, Any]:
        """Return the findings JSON-ready."""
        return asdict(self)


def read_truth(path: Path) -> dict[str, TrueLabel]:
    """Return labels by SHA-256 from a CSV table with the columns sha256 or path, label and, if wanted, group.

    Paths are read from the folder of the table.

    Raises:
        GraftError: there is no such table, it lacks a column, an image is not there, or has two labels.
    """
    fix = "Write a CSV file with the columns sha256 (or path) and label"
    table = read_text_table(path, "a table of labels", fix)
    if "label" not in table or not {"sha256", "path"} & set(table.columns):
        raise GraftError(f"{path} has the columns {', '.join(table.columns)}", fix)
    try:
        hashes = table["sha256"] if "sha256" in table else [sha256_of(path.parent / one) for one in table["path"]]
    except OSError as error:
        raise GraftError(f"{path} names {error.filename}, which cannot be read", "Name hashes, or files") from None
    groups = table.get("group", hashes)
    found: dict[str, TrueLabel] = {}
    for sha256, label, group in zip(hashes, table["label"], groups, strict=True):
        if sha256 in found and found[sha256].label != label:
            raise GraftError(f"{path} calls {sha256[:12]}... '{found[sha256].label}' and '{label}'", "Decide on one")
        found[sha256] = TrueLabel(label, group)
    return found


def reached(log: PredictionLog, truth: dict[str, TrueLabel], since: datetime | None = None) -> Reached:
    """Return what the answers in a log come to; an image that was asked about more than once counts by its last answer.

    Args:
        truth: see :func:`read_truth`; may be empty.
        since: no rows from before.

    Raises:
        GraftError: there is no log, or it is damaged.
    """
    rows = [row for row in log.read(since) if not row.image.problem]
    latest = {row.image.sha256: row for row in rows if not is_shadow(row)}
    behind = {(row.model, row.image.sha256): row for row in rows if is_shadow(row) and row.image.sha256 in truth}
    labelled = [row for sha256, row in latest.items() if sha256 in truth]
    known = {row.label for row in latest.values()} - {UNKNOWN}
    new = sorted({truth[row.image.sha256].label for row in labelled} - known)

    def by(key: Callable[[LoggedPrediction], str]) -> list[ReachedShare]:
        names = sorted({key(row) for row in labelled})
        return [_share(name, [row for row in labelled if key(row) == name], truth) for name in names]

    return Reached(
        total=_share("all", labelled, truth) if labelled else None,
        classes=by(lambda row: truth[row.image.sha256].label),
        weeks=by(_week),
        models=[
            *by(lambda row: row.model),
            *(
                _share(name, [row for (model, _), row in behind.items() if model == name], truth)
                for name in sorted({model for model, _ in behind})
            ),
        ],
        unlabelled=_share("unlabelled", [row for sha256, row in latest.items() if sha256 not in truth], {}),
        new_classes={name: sum(truth[row.image.sha256].label == name for row in labelled) for name in new},
        missing=len(truth.keys() - latest.keys()),
    )


def expected_accuracy(probabilities: Iterable[float]) -> float:
    """Return the accuracy that calibrated probabilities of answers promise: their mean; nan without any."""
    found = list(probabilities)
    return float(np.mean(found)) if found else math.nan


def _share(name: str, rows: Sequence[LoggedPrediction], truth: dict[str, TrueLabel]) -> ReachedShare:
    with_class = [row for row in rows if row.label != UNKNOWN]
    expected = expected_accuracy(row.probability for row in with_class)
    right, low, high = math.nan, math.nan, math.nan
    if truth and with_class:
        labels = [truth[row.image.sha256] for row in with_class]
        is_right = np.array([row.label == one.label for row, one in zip(with_class, labels, strict=True)])
        interval = share_interval(is_right, np.array([one.group for one in labels]))
        right, low, high = float(is_right.mean()), interval.low, interval.high
    return ReachedShare(name, len(rows), len(rows) - len(with_class), right, low, high, expected)


def _week(row: LoggedPrediction) -> str:
    assert row.time is not None  # of rows that are read, it is set
    year, week, _ = row.time.isocalendar()
    return f"{year}-W{week:02}"
