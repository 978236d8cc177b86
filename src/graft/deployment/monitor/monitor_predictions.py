"""Compare recent images with the training images, from what the user named to what is found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from graft.bundle.decisions import UNKNOWN
from graft.core.errors import GraftError
from graft.core.params.models import Params
from graft.core.progress import console
from graft.core.project import Project
from graft.deployment.monitor.checks import DriftCheck, run_checks
from graft.deployment.monitor.log_samples import Sample
from graft.deployment.monitor.reached import expected_accuracy
from graft.deployment.monitor.reference import read_reference, with_features, with_predictions

if TYPE_CHECKING:
    from graft.bundle.model import ImageClassifier
    from graft.deployment.monitor.recent import AskedModel
    from graft.networks.features.embedder import Embedder


@dataclass(frozen=True)
class DriftReport:
    """The findings of a comparison.

    Attributes:
        dataset: of the project.
        source: what the recent images were taken from.
        at: when they were compared, UTC.
        model: whose predictions were compared, in words; ``""`` for none.
        backbone: whose features were compared, in words.
        alpha: level of the whole.
        checks: those that were made.
        skipped: those that were not, and why.
        reference, recent: the two samples.
        stuck: readable recent images were many, and so few of them independent that nothing can be said of them: the
            same picture again and again. That counts as drift.
        champion: what images that came after the champion have shown of it, in sentences; ``""`` for nothing.
    """

    dataset: str
    source: str
    at: datetime
    model: str
    backbone: str
    alpha: float
    checks: list[DriftCheck]
    skipped: dict[str, str]
    reference: Sample
    recent: Sample
    stuck: bool = False
    champion: str = ""

    @property
    def expected(self) -> float | None:
        """Accuracy that the probabilities of recent images promise; None where there are none."""
        predictions = self.recent.predictions
        if predictions is None or not (with_class := predictions.labels != UNKNOWN).any():
            return None
        return expected_accuracy(predictions.confidence[with_class])

    @property
    def drift(self) -> bool:
        return self.stuck or any(check.drift for check in self.checks)

    def as_record(self) -> dict[str, Any]:
        """Return the report without its images, JSON-ready."""
        return {
            "dataset": self.dataset,
            "source": self.source,
            "at": self.at.isoformat(),
            "period": [moment.isoformat() for moment in self.recent.period or ()],
            "model": self.model,
            "backbone": self.backbone,
            "drift": self.drift,
            "expected_accuracy": self.expected,
            "stuck": self.stuck,
            "champion": self.champion,
            "alpha": self.alpha,
            "reference": self.reference.counts(),
            "recent": self.recent.counts(),
            "checks": [asdict(check) for check in self.checks],
            "skipped": self.skipped,
        }


def monitor_paths(project: Project, params: Params, texts: Sequence[str], model: str | None) -> DriftReport:
    """Compare photographs in files, folders and archives with the training images.

    Args:
        texts: see :func:`graft.deployment.predict.inputs.find_photographs`.
        model: see :func:`graft.registry.resolve.resolve_model`; None is the champion, and where there is none,
            predictions are not compared.

    Raises:
        GraftError: there is nothing to compare, or too little; the model that was named cannot be had.
    """
    from graft.deployment.monitor.recent import sample_photographs
    from graft.deployment.predict.inputs import find_photographs

    photographs = find_photographs(texts)

    def sample(embedder: Embedder, asked: AskedModel) -> Sample:
        return sample_photographs(photographs, params, embedder, asked)

    return _monitor(project, params, ", ".join(texts), model, sample)


def monitor_log(
    project: Project, params: Params, folder: Path, since: datetime | None, model: str | None, after: int = 0
) -> DriftReport:
    """Compare the latest images of a prediction log with the training images.

    Args:
        project, params, model: as for :func:`monitor_paths`.

    Raises:
        GraftError: as :func:`monitor_paths`, or there is no log, or it is damaged.
    """
    from graft.deployment.monitor.prediction_log import PredictionLog
    from graft.deployment.monitor.recent import sample_log

    log = PredictionLog(folder, params.monitor.log)
    _require_images(str(folder), log.count(since, after), params)

    def sample(embedder: Embedder, asked: AskedModel) -> Sample:
        return sample_log(log, since, after, params, embedder, asked)

    return _monitor(project, params, str(folder), model, sample)


def least_alike(report: DriftReport, count: int) -> list[tuple[str, np.ndarray]]:
    """Return names and pixels of the recent images least like any training image, by the cosine of their features.

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
    nearest = (unit[1][: len(pictures)] @ unit[0].T).max(axis=1)
    return [(names[row], pictures[row]) for row in np.argsort(nearest, kind="stable")[:count]]


def _open_model(project: Project, model: str | None) -> tuple[ImageClassifier | None, str, str]:
    """Return the classifier, which one it is in words, and its digest; without a classifier, why there is none."""
    from graft.networks.engines.open_classifier import open_classifier
    from graft.registry.resolve import resolve_model, wanted_decisions

    try:
        resolved = resolve_model(project, model)
    except GraftError as error:
        if model is not None:
            raise
        console.print(f"Predictions are not compared: {error}", soft_wrap=True, markup=False)
        return None, error.what, ""
    classifier = open_classifier(resolved.bundle, wanted=wanted_decisions(project, resolved))
    return classifier, str(resolved), resolved.digest


def _embedder(project: Project, params: Params) -> Embedder:
    from graft.networks.features.embedder import Embedder

    with console.status("Loading the backbone"):
        return Embedder(project, params.train)


def _require_images(source: str, count: int, params: Params) -> None:
    least = params.monitor.min_images
    if count < least:
        raise GraftError(
            f"{source} holds {count:,} images, readable or not; to say anything, it takes {least}",
            "Name more images, or lower monitor.min_images in params.yaml",
        )


def _monitor(
    project: Project, params: Params, source: str, model: str | None, sample: Callable[[Embedder, AskedModel], Sample]
) -> DriftReport:
    """Compare the sample that is taken with backbone and model; the training side is asked what it has too."""
    from graft.data.folder.versioning import dataset_name
    from graft.deployment.monitor.recent import AskedModel

    reference, images = read_reference(project, params)
    classifier, words, digest = _open_model(project, model)
    embedder = _embedder(project, params)
    recent = sample(embedder, AskedModel(classifier, words, digest))
    _require_images(source, recent.seen, params)
    if recent.features is not None:
        reference = with_features(project, reference, images, embedder)
    if classifier is not None and recent.predictions is not None:
        reference = with_predictions(project, params, reference, classifier)
    with console.status("Comparing"):
        checks, skipped = run_checks(reference, recent, params.monitor)
    return DriftReport(
        dataset=dataset_name(project),
        source=source,
        at=datetime.now(UTC),
        model=words if recent.predictions else "",
        backbone=embedder.name,
        alpha=params.monitor.alpha,
        checks=checks,
        skipped=skipped,
        reference=reference,
        recent=recent,
        stuck=len(recent) < params.monitor.min_images <= recent.readable,
        champion=_shown(project, params),
    )


def _shown(project: Project, params: Params) -> str:
    """Return what deliveries have shown of the champion, or why that cannot be read."""
    from graft.registry.promotion.line import read_champions

    try:
        return read_champions(project, params)[1]
    except GraftError as error:
        return f"What deliveries have shown of the champion cannot be read: {error.what}."
