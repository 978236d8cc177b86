"""A comparison of recent images with the training images, from what the user named to what is found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from graft.errors import GraftError
from graft.monitoring.checks import Check, run_checks
from graft.monitoring.reference import read_reference, with_features, with_predictions
from graft.monitoring.samples import Sample
from graft.params.models import Params
from graft.progress import console
from graft.project import Project

if TYPE_CHECKING:
    from graft.features.embedder import Embedder
    from graft.inference.model import ImageClassifier


@dataclass(frozen=True)
class DriftReport:
    """What a comparison found.

    Attributes:
        dataset: of the project.
        source: what the recent images were taken from.
        model: whose predictions were compared, in words; ``""`` for none.
        backbone: whose features were compared, in words.
        alpha: level of the whole.
        checks: those that were made.
        skipped: those that were not, and why.
        reference, recent: the two samples.
        stuck: recent images were many, and so few of them independent that nothing can be said of them: the same
            picture again and again. That counts as drift, and no checks are made.
    """

    dataset: str
    source: str
    model: str
    backbone: str
    alpha: float
    checks: list[Check]
    skipped: dict[str, str]
    reference: Sample
    recent: Sample
    stuck: bool = False

    @property
    def drift(self) -> bool:
        return self.stuck or any(check.drift for check in self.checks)

    def as_record(self) -> dict[str, Any]:
        """All of it but the images, JSON-ready."""
        return {
            "dataset": self.dataset,
            "source": self.source,
            "model": self.model,
            "backbone": self.backbone,
            "drift": self.drift,
            "stuck": self.stuck,
            "alpha": self.alpha,
            "reference": _counts(self.reference),
            "recent": _counts(self.recent),
            "checks": [asdict(check) for check in self.checks],
            "skipped": self.skipped,
        }


def monitor_paths(project: Project, params: Params, texts: Sequence[str], model: str | None) -> DriftReport:
    """Compares photographs in files, folders and archives.

    Args:
        project: validated and split.
        params: all of them.
        texts: see :func:`graft.prediction.inputs.find_photographs`.
        model: see :func:`graft.prediction.source.resolve_model`; None is the champion, and where there is none,
            predictions are not compared.

    Raises:
        GraftError: there is nothing to compare, or too little; the model that was named cannot be had.
    """
    from graft.monitoring.recent import sample_photographs
    from graft.prediction.inputs import find_photographs

    photographs = find_photographs(texts)
    reference, images = read_reference(project, params)
    classifier, words, _ = _open_model(project, model)
    embedder = _embedder(project, params)
    recent = sample_photographs(photographs, params, embedder, classifier, words)
    source = ", ".join(texts)
    early = _too_few(project, params, reference, recent, source, embedder.name)
    if early:
        return early
    reference = with_features(project, reference, images, embedder)
    if classifier is not None:
        reference = with_predictions(project, params, reference, classifier, words)
    return _compare(project, params, reference, recent, source, embedder.name)


def monitor_log(
    project: Project, params: Params, folder: Path, since: datetime | None, model: str | None
) -> DriftReport:
    """Compares the latest images of a prediction log, see :mod:`graft.monitoring.log`; else as :func:`monitor_paths`.

    Args:
        project, params, model: as for :func:`monitor_paths`.
        folder: of the log.
        since: no images from before.
    """
    from graft.monitoring.log import PredictionLog
    from graft.monitoring.recent import sample_log

    log = PredictionLog(folder, params.monitor.log)
    rows = log.read(since)
    reference, images = read_reference(project, params)
    classifier, words, digest = _open_model(project, model)
    embedder = _embedder(project, params)
    recent = sample_log(log, rows, params, embedder, digest, words)
    early = _too_few(project, params, reference, recent, str(folder), embedder.name)
    if early:
        return early
    if recent.features is not None:
        reference = with_features(project, reference, images, embedder)
    if classifier is not None and recent.predictions is not None:
        reference = with_predictions(project, params, reference, classifier, words)
    return _compare(project, params, reference, recent, str(folder), embedder.name)


def least_alike(report: DriftReport, count: int) -> list[tuple[str, np.ndarray]]:
    """Names and pixels of the recent images that are least like any training image, by the cosine of their features.

    Empty where there are no features or no pictures.
    """
    first, second = report.reference.features, report.recent.features
    names, pictures = report.recent.thumbnails
    if first is None or second is None or not len(pictures):
        return []
    centre = first.mean(axis=0)
    unit = [
        rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
        for rows in (first - centre, second - centre)
    ]
    nearest = (unit[1] @ unit[0].T).max(axis=1)
    return [(names[row], pictures[row]) for row in np.argsort(nearest, kind="stable")[:count]]


def _open_model(project: Project, model: str | None) -> tuple[ImageClassifier | None, str, str]:
    """The classifier, in words which it is, and its digest; without one, why there is none."""
    from graft.prediction.engine import open_classifier
    from graft.prediction.source import resolve_model

    try:
        resolved = resolve_model(project, model)
    except GraftError as error:
        if model is not None:
            raise
        console.print(f"Predictions are not compared: {error}", soft_wrap=True, markup=False)
        return None, error.what, ""
    return open_classifier(resolved.bundle), str(resolved), resolved.digest


def _embedder(project: Project, params: Params) -> Embedder:
    from graft.features.embedder import Embedder

    with console.status("Loading the backbone"):
        return Embedder(project, params.train)


def _too_few(
    project: Project, params: Params, reference: Sample, recent: Sample, source: str, backbone: str
) -> DriftReport | None:
    """The report where recent images are all the same, an error where they are few, None where there are enough."""
    from graft.data.versioning import dataset_name

    least = params.monitor.min_images
    if len(recent) >= least:
        return None
    readable = recent.seen - recent.unreadable
    if readable >= least:
        return DriftReport(
            dataset_name(project), source, "", backbone, params.monitor.alpha, [], {}, reference, recent, True
        )
    raise GraftError(
        f"{source} holds {readable:,} images that can be read ({recent.unreadable:,} cannot); to say anything, it "
        f"takes {least}",
        "Name more images, or lower monitor.min_images in params.yaml",
    )


def _compare(
    project: Project, params: Params, reference: Sample, recent: Sample, source: str, backbone: str
) -> DriftReport:
    from graft.data.versioning import dataset_name

    with console.status("Comparing"):
        checks, skipped = run_checks(reference, recent, params.monitor)
    model = recent.predictions.model if recent.predictions else ""
    return DriftReport(
        dataset_name(project),
        source,
        model,
        backbone,
        params.monitor.alpha,
        checks,
        skipped,
        reference,
        recent,
    )


def _counts(sample: Sample) -> dict[str, int]:
    return {
        "images": len(sample),
        "seen": sample.seen,
        "unreadable": sample.unreadable,
        "repeats": sample.repeats,
    }
