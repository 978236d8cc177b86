"""Stage evaluate: every trained strategy on the untouched test split."""

from __future__ import annotations

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from graft.params import load_params
from graft.project import Project
from graft.timing import StageClock
from pipelines.runner import RETRIES, run_stage


@task(name="evaluate", cache_policy=NO_CACHE)
def evaluate_all(project: Project, names: list[str], batch_size: int, clock: StageClock) -> None:
    """Runs each strategy's bundle over the test images; writes figures, predictions and pictures."""
    from graft.evaluation.evaluate import TestImages, evaluate_strategy

    images = TestImages(project)
    for name in names:
        evaluate_strategy(project, name, images, batch_size, clock)


@task(name="record", cache_policy=NO_CACHE, **RETRIES)
def record(project: Project, names: list[str], clock: StageClock) -> None:
    """Adds the test figures to each strategy's MLflow run."""
    with clock.span("mlflow import", "imports"):
        from graft.tracking.runs import record_evaluation
        from graft.tracking.store import open_store
    with clock.span("mlflow log", "mlflow"):
        open_store(project)
        for name in names:
            record_evaluation(project, name)


@flow(name="evaluate", validate_parameters=False)
def evaluate(project: Project, clock: StageClock) -> None:
    """Evaluates all strategies that are trained."""
    params = load_params(project.params_file)
    with clock.span("tensorflow import", "imports"):
        from graft.tensorflow_import import import_tensorflow

        import_tensorflow()
    names = list(params.train.run)
    evaluate_all(project, names, params.evaluate.batch_size, clock)
    record(project, names, clock)


if __name__ == "__main__":
    run_stage("evaluate", evaluate)
