"""Stage train: one strategy, trained and recorded: ``python -m pipelines.train frozen``.

DVC runs it once per name in ``train.run``.
"""

import sys
from typing import Any

from prefect import flow
from prefect.utilities.annotations import quote

from graft.automation.stage_runner import RETRIES, run_stage, step
from graft.core.params import Params, load_params
from graft.core.project import Project
from graft.core.timing import StageClock
from graft.data.splits.split_tables import read_splits


@step("fit")
def fit_strategy(project: Project, params: Params, name: str, clock: StageClock) -> Any:
    """Train the strategy and write its folder of outputs."""
    from graft.training.train import train_strategy

    return train_strategy(project, params.train, name, clock)


@step("record", **RETRIES)
def record(project: Project, run_id: str, result: Any, clock: StageClock) -> None:
    """Log parameters, curves, figures, data set and model to the strategy's MLflow run."""
    from graft.registry.runs.strategy_runs import record_training

    record_training(project, run_id, result, read_splits(project, ["train", "val"]), clock)


@flow(name="train", flow_run_name="train {name}", validate_parameters=False)
def train(project: Project, clock: StageClock, name: str) -> None:
    """Train one strategy inside one MLflow run."""
    params = load_params(project.params_file)
    with clock.span("tensorflow import", "imports"):
        from graft.networks.engines.tensorflow_import import import_tensorflow

        import_tensorflow()
    from graft.registry.runs.strategy_runs import training_run

    with training_run(project, params.train, name, clock) as run_id:
        # Quoted: Prefect would search a trained model for futures to wait on.
        result = fit_strategy(project, params, name, clock)
        record(project, run_id, quote(result), clock)
        result.clean_up()


if __name__ == "__main__":
    run_stage("train", train, sys.argv[1])
