"""Stage evaluate: every strategy and ensemble on the untouched test split."""

from __future__ import annotations

from pathlib import Path

from prefect import flow

from graft.core.candidates import candidates
from graft.core.params import Params, load_params
from graft.core.project import Project
from graft.core.timing import StageClock
from pipelines.runner import RETRIES, run_stage, step


@step("evaluate")
def evaluate_all(project: Project, folders: dict[str, Path], params: Params, clock: StageClock) -> None:
    """Runs each bundle over the test images; writes figures, predictions and pictures."""
    from graft.evaluation.evaluate import TestImages, evaluate_bundle, write_answers
    from graft.networks.features.feature_store import FeatureStore

    images = TestImages(project)
    kept = params.train.store
    store = FeatureStore(project.features, kept.limit_bytes, kept.precision)
    for name, folder in folders.items():
        found = evaluate_bundle(name, folder, images, params.evaluate.batch_size, clock, store)
        write_answers(name, found, images)


@step("record", **RETRIES)
def record(project: Project, folders: dict[str, Path], clock: StageClock) -> None:
    """Adds the test figures to the MLflow run of each."""
    with clock.span("mlflow import", "imports"):
        from graft.registry.runs.strategy_runs import record_evaluation
        from graft.registry.store.tracking_store import open_store
    with clock.span("mlflow log", "mlflow"):
        open_store(project)
        for name, folder in folders.items():
            record_evaluation(project, name, folder)


@flow(name="evaluate", validate_parameters=False)
def evaluate(project: Project, clock: StageClock) -> None:
    """Evaluates all strategies that are trained, and all ensembles that are made of them."""
    params = load_params(project.params_file)
    folders = candidates(project, params)
    evaluate_all(project, folders, params, clock)
    record(project, folders, clock)


if __name__ == "__main__":
    run_stage("evaluate", evaluate)
