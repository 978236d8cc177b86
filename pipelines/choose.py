"""Stage choose: what params.yaml leaves to auto, measured on train and val with frozen backbones."""

from typing import Any

from prefect import flow
from prefect.utilities.annotations import quote

from graft.automation.stage_runner import RETRIES, run_stage, step
from graft.core.params import Params, load_params
from graft.core.project import Project
from graft.core.timing import StageClock


@step("measure")
def measure(project: Project, params: Params, clock: StageClock) -> Any:
    """Measure candidates within the time that is given, and write settings for each strategy."""
    from graft.analysis.choose.choose_project import choose_for_project

    return choose_for_project(project, params, clock)


@step("record", **RETRIES)
def record(project: Project, params: Params, choice: Any, clock: StageClock) -> None:
    """Log what was tried and what was chosen to a run in MLflow."""
    from graft.registry.runs.choose_run import record_choice

    record_choice(project, params, choice, clock)


@flow(name="choose", validate_parameters=False)
def choose(project: Project, clock: StageClock) -> None:
    """Fill in what says auto; with nothing left open write that down, and measure nothing."""
    params = load_params(project.params_file)
    with clock.span("tensorflow import", "imports"):
        from graft.networks.engines.tensorflow_import import import_tensorflow

        import_tensorflow()
    choice = measure(project, params, clock)
    if choice is None:
        print("No strategy leaves a setting to auto: nothing is measured")
        return
    # Quoted: Prefect would search it for futures to wait on.
    record(project, params, quote(choice), clock)


if __name__ == "__main__":
    run_stage("choose", choose)
