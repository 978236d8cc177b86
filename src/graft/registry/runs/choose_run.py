"""Log stage choose to MLflow: a run with what was tried, what was chosen, and why."""

from graft.analysis.choose.choose import Choice, tried_table
from graft.analysis.choose.chosen_values import SETTINGS_FOLDER
from graft.analysis.choose.write_choice import PAGE_FILE, RECORD_FILE, TRIED_FILE
from graft.core.params.models import Params
from graft.core.project import Project
from graft.core.timing import StageClock
from graft.registry.runs.strategy_runs import open_run

RUN_NAME = "choose"


def record_choice(project: Project, params: Params, choice: Choice, clock: StageClock) -> None:
    """Log a choice to a run of its own.

    Args:
        project: whose stage choose has written its outputs.
        params: of the project.
        choice: what was measured.
        clock: where the time goes.
    """
    folder = project.artifacts("choose")
    with (
        open_run(project, RUN_NAME, params.choose.model_dump(mode="json"), clock) as run_id,
        clock.span("mlflow log", "mlflow"),
    ):
        import mlflow

        # No strategy's: there is no model in it to compare or to register.
        mlflow.MlflowClient().delete_tag(run_id, "strategy")
        mlflow.set_tag("stage", RUN_NAME)
        mlflow.log_metrics(
            {
                "out_of_fold_accuracy": choice.selection.accuracy,
                "out_of_fold_log_loss": choice.selection.log_loss,
                "candidates": len(choice.measured),
                "seconds": choice.seconds,
            }
        )
        mlflow.log_table(tried_table(choice).astype({"left_out": str}), "tried.json")
        for path in (folder / TRIED_FILE, folder / RECORD_FILE, folder / PAGE_FILE):
            mlflow.log_artifact(str(path))
        mlflow.log_artifacts(str(folder / SETTINGS_FOLDER), SETTINGS_FOLDER)
