"""Stage ensemble: trained strategies as one model: ``python -m pipelines.ensemble mean``.

DVC runs it once per name in ``ensemble.run``.
"""

import sys
from typing import Any

from prefect import flow
from prefect.utilities.annotations import quote

from graft.automation.stage_runner import RETRIES, run_stage, step
from graft.core.errors import GraftError
from graft.core.params import load_params
from graft.core.params.ensemble_params import EnsembleOf
from graft.core.project import Project
from graft.core.timing import StageClock
from graft.data.splits.split_tables import read_splits


@step("combine")
def combine(project: Project, params: EnsembleOf, name: str, clock: StageClock) -> Any:
    """Fit the weights and write the ensemble's folder of outputs."""
    from graft.training.ensembles.make_ensemble import make_ensemble

    made = make_ensemble(project, params, name, clock)
    print(made.summary())
    return made


@step("record", **RETRIES)
def record(project: Project, run_id: str, made: Any, clock: StageClock) -> None:
    """Log weights, figures, data set and model to the ensemble's MLflow run."""
    from graft.registry.runs.ensemble_runs import record_ensemble

    record_ensemble(project, run_id, made, read_splits(project, ["val"])["val"], clock)


@flow(name="ensemble", flow_run_name="ensemble {name}", validate_parameters=False)
def ensemble(project: Project, clock: StageClock, name: str) -> None:
    """Make one ensemble inside one MLflow run."""
    ensembles = load_params(project.params_file).ensemble.ensembles
    if name not in ensembles:
        raise GraftError(f"There is no ensemble '{name}'", f"Known: {', '.join(ensembles)}")
    with clock.span("tensorflow import", "imports"):
        from graft.networks.engines.tensorflow_import import import_tensorflow

        import_tensorflow()  # not for the weights: MLflow tries the model that it is given
    from graft.registry.runs.ensemble_runs import ensemble_run

    with ensemble_run(project, ensembles[name], name, clock) as run_id:
        made = combine(project, ensembles[name], name, clock)
        record(project, run_id, quote(made), clock)


if __name__ == "__main__":
    run_stage("ensemble", ensemble, sys.argv[1])
