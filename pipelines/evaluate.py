"""Stage evaluate: every strategy and ensemble on the untouched test split."""

from pathlib import Path

from prefect import flow

from graft.automation.stage_runner import RETRIES, run_stage, step
from graft.core.model_folders import model_folders
from graft.core.params import Params, load_params
from graft.core.project import Project
from graft.core.timing import StageClock
from graft.registry.runs.strategy_runs import record_evaluations


@step("evaluate")
def evaluate_all(project: Project, folders: dict[str, Path], params: Params, clock: StageClock) -> None:
    """Run each bundle over the test images; write figures, predictions and pictures."""
    from graft.evaluation.evaluate import evaluate_models

    evaluate_models(project, folders, params, clock)


record = step("record", **RETRIES)(record_evaluations)


@flow(name="evaluate", validate_parameters=False)
def evaluate(project: Project, clock: StageClock) -> None:
    """Evaluate all strategies that are trained, and all ensembles that are made of them."""
    params = load_params(project.params_file)
    folders = model_folders(project, params)
    evaluate_all(project, folders, params, clock)
    record(project, folders, clock)


if __name__ == "__main__":
    run_stage("evaluate", evaluate)
