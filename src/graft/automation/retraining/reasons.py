"""Reasons to train, and not to: what DVC sees changed, what the pipeline's own checks refused, and drift."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from graft.core.errors import GraftError, first_line
from graft.core.params.models import Params
from graft.core.params.monitor_params import LogParams
from graft.core.project import Project
from graft.data.checks.check_verdict import read_verdict
from graft.data.folder.versioning import run_dvc

if TYPE_CHECKING:
    from graft.deployment.monitor.prediction_log import PredictionLog


def found_by_dvc(own: Project) -> str:
    """Return what DVC finds changed in a project, as a reason to train; ``""`` where nothing is."""
    changed = json.loads(run_dvc(own, "status", "--json") or "{}")
    if not (own.root / "dvc.lock").is_file():
        return "the pipeline has not run here yet"
    return f"{what_changed(changed)} changed since the last run" if changed else ""


def what_changed(status: dict[str, Any]) -> str:
    """Return what `dvc status --json` says, in words, without what follows from it."""
    paths: set[str] = set()
    for changes in status.values():
        for change in changes:
            if isinstance(change, dict):
                paths |= {path for kind in ("changed deps", "changed outs") for path in change.get(kind, {})}
    kinds = {"data": "data/", "params.yaml": "params.yaml"}
    found = {kinds.get(path, "outputs" if path.startswith("artifacts") else "code") for path in paths}
    if len(found) > 1:
        found.discard("outputs")  # they follow from the others
    return " and ".join(sorted(found)) or "the pipeline"


def broken_rules(project: Project, since: float) -> list[str]:
    """Return what stages validate and split refused after a moment, a sentence each.

    Args:
        since: seconds since the epoch; older verdicts are of other runs.
    """
    found = []
    for stage in ("validate", "split"):
        file = project.artifacts(stage) / "verdict.json"
        if file.is_file() and file.stat().st_mtime >= since:
            errors = read_verdict(file).errors
            found += [f"{rule.name}: {rule.observed} (needed: {rule.limit})." for rule in errors]
    return found


_READER = "retraining"  # whose mark in the log says up to where it was compared


@dataclass(frozen=True)
class Compared:
    """What a comparison of logged predictions with training found: drift or not, why, and up to which row."""

    drift: bool
    words: str
    until: int | None = None


def has_new_predictions(project: Project, params: Params) -> bool:
    """Return whether enough predictions were logged since the one last remembered. Nothing is loaded for that."""
    if not any(project.prediction_log.glob("*.sqlite")):
        return False
    log = _log(project)
    return log.count(after=log.marked(_READER)) >= params.monitor.min_images


def compare_predictions(project: Project, params: Params) -> Compared | None:
    """Compare the predictions that were logged since the one last remembered; None where they are too few."""
    try:
        if not has_new_predictions(project, params):
            return None
        log = _log(project)
        after, until = log.marked(_READER), log.last()
        from graft.deployment.monitor.drift_page import in_words, write_page
        from graft.deployment.monitor.monitor_predictions import monitor_log

        report = monitor_log(project, params, project.prediction_log, None, None, after)
    except Exception as error:
        # Any kind: a champion that no longer loads raises what its libraries raise. It is reported, and stops no
        # retraining: new images are worth training on all the same.
        reason = str(error) if isinstance(error, GraftError) else first_line(error)
        return Compared(False, f"Logged predictions were not compared: {reason}")
    page = write_page(project.drift_reports, report)
    return Compared(report.drift, f"{in_words(report)} See {page.relative_to(project.home)}", until)


def remember(project: Project, compared: Compared | None) -> list[str]:
    """Mark what was compared, so that the next comparison is of later predictions.

    Returns:
        What hinders that, a sentence; usually none.
    """
    try:
        if compared is not None and compared.until is not None:
            _log(project).mark(_READER, compared.until)
    except GraftError as error:
        return [f"The predictions will be compared again: {error}"]
    return []


def _log(project: Project) -> PredictionLog:
    from graft.deployment.monitor.prediction_log import PredictionLog

    return PredictionLog(project.prediction_log, LogParams())  # which limits do not matter to who adds no row
