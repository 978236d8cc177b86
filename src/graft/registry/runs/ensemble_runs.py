"""Log an ensemble to MLflow: a run like a strategy's, with its members and their weights."""

from contextlib import AbstractContextManager

import pandas as pd

from graft.core.params.ensemble_params import EnsembleOf
from graft.core.project import Project
from graft.core.timing import StageClock
from graft.registry.runs.strategy_runs import log_result, open_run, read_run
from graft.registry.store.seen_images import log_seen_images, seen_by_members
from graft.training.ensembles.make_ensemble import WEIGHTS_FILE, Ensemble


def ensemble_run(project: Project, params: EnsembleOf, name: str, clock: StageClock) -> AbstractContextManager[str]:
    """Open a run for one ensemble, see :func:`graft.registry.runs.strategy_runs.open_run`."""
    settings = {"kind": "ensemble", "of": ", ".join(params.of), "weights": params.weights}
    return open_run(project, name, settings, clock)


def record_ensemble(project: Project, run_id: str, result: Ensemble, val: pd.DataFrame, clock: StageClock) -> None:
    """Log weights, figures, data set and model into the run, and write the run's id into the folder.

    Args:
        val: the validation table with paths, see :func:`graft.data.splits.split_tables.read_splits`.
    """
    import mlflow
    from mlflow import MlflowClient

    with clock.span("mlflow log", "mlflow"):
        mlflow.log_params({f"weight.{member}": weight for member, weight in result.weights.items()})
        members = {member: read_run(project.strategy(member))["run_id"] for member in result.weights}
        mlflow.set_tags({f"member.{member}": of_member for member, of_member in members.items()})
        seen = seen_by_members(MlflowClient(), members.values())
        if seen is not None:
            log_seen_images(MlflowClient(), run_id, seen)
        mlflow.log_artifact(str(result.folder / WEIGHTS_FILE))
    log_result(project, run_id, result.name, result.folder, result.classes, result.validation, {"val": val}, clock)
