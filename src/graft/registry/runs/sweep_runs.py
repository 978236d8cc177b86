"""Log a sweep to MLflow: one run for the sweep, and in it a nested run for each trial."""

import json
from collections.abc import Sequence

from graft.core.params.models import Params
from graft.core.project import Project
from graft.registry.runs.strategy_runs import flatten
from graft.registry.store.tracking_store import start_run
from graft.training.run_sweep import Trial, tried


class SweepRun:
    """The run of a sweep; opened by the first trial, so that a sweep with nothing left to do leaves none."""

    def __init__(self, project: Project, params: Params) -> None:
        self.project, self.params = project, params
        self.run_id = ""

    def log(self, trial: Trial) -> None:
        """Log one trial as a nested run: what was tried, its figures on validation and its seconds."""
        import mlflow

        if not self.run_id:
            with start_run(self.project, "sweep", {}) as run:
                self.run_id = run.info.run_id
                mlflow.log_params(self.params.sweep.model_dump(mode="json", by_alias=True, exclude={"settings"}))
                tries = self.params.sweep.model_dump(mode="json", by_alias=True)["try"]
                mlflow.log_dict(tries, "try.json")
        name, tags = f"{trial.strategy} {trial.number}", {"strategy": trial.strategy}
        with start_run(self.project, name, tags, parent=self.run_id) as run:
            mlflow.log_params(flatten(tried(self.params, trial).model_dump()))
            mlflow.log_params({f"tried.{key}": json.dumps(value) for key, value in trial.settings.items()})
            mlflow.log_metrics({f"val_best_{key}": value for key, value in trial.figures.items()})
            mlflow.log_metric("seconds", trial.seconds)
            if trial.gain is not None and trial.error is not None:
                mlflow.log_metrics({"gain": trial.gain, "gain_error": trial.error})
            if trial.problem:
                mlflow.set_tag("problem", trial.problem)
        if trial.problem:
            mlflow.MlflowClient().set_terminated(run.info.run_id, "FAILED")

    def finish(self, trials: Sequence[Trial]) -> None:
        """Log the best trial into the sweep's run, where there is one."""
        if not self.run_id:
            return
        import mlflow

        best = trials[0]
        with mlflow.start_run(run_id=self.run_id):
            mlflow.log_metrics({f"val_best_{key}": value for key, value in best.figures.items()})
            mlflow.set_tags({"best_trial": str(best.number), "best_strategy": best.strategy})
            mlflow.log_dict([vars(trial) for trial in trials], "trials.json")
