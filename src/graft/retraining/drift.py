"""Whether what the model was asked of late is still like the training images."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from graft.errors import GraftError
from graft.params.models import Params
from graft.project import Project


@dataclass(frozen=True)
class Compared:
    """Whether there is drift, a sentence about it, and until when predictions were looked at; None where none were."""

    drift: bool
    words: str
    until: datetime | None = None


def compare_predictions(project: Project, params: Params) -> Compared | None:
    """Compares the predictions that were logged since the one last remembered; None where they are too few.

    Where nothing was logged, this takes milliseconds and loads nothing.
    """
    if not project.prediction_log.is_dir():
        return None
    from graft.monitoring.log import PredictionLog

    since = _last_time(project)
    try:
        rows = PredictionLog(project.prediction_log, params.monitor.log).read(since)
    except GraftError as error:
        return _not_compared(error)
    if len(rows) < params.monitor.min_images:
        return None
    from graft.monitoring.monitor import monitor_log
    from graft.monitoring.page import in_words, write_page

    now = datetime.now(UTC)
    try:
        report = monitor_log(project, params, project.prediction_log, since, None)
    except GraftError as error:
        return _not_compared(error)
    page = project.drift_reports / "report.html"
    write_page(page, report)
    return Compared(report.drift, f"{in_words(report)} See .graft/state/monitor/report.html", now)


def remember(project: Project, compared: Compared) -> None:
    """The next comparison is of what is logged after this one."""
    if compared.until is not None:
        _marker(project).parent.mkdir(parents=True, exist_ok=True)
        _marker(project).write_text(json.dumps({"at": compared.until.isoformat()}), encoding="utf-8")


def _not_compared(error: GraftError) -> Compared:
    """What stands in the way is told, and stops no retraining: new images are worth training on all the same."""
    return Compared(False, f"Logged predictions were not compared: {error}")


def _marker(project: Project) -> Path:
    return project.retraining / "compared.json"


def _last_time(project: Project) -> datetime | None:
    try:
        return datetime.fromisoformat(json.loads(_marker(project).read_text(encoding="utf-8"))["at"])
    except (OSError, ValueError, KeyError, TypeError):
        return None  # never, or the file is gone: then all of the log is compared
