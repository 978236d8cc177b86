"""The test predictions of a model by what a user calls it: a strategy, a run of MLflow, or a registered version."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from graft.core.errors import GraftError, did_you_mean, first_line
from graft.core.model_folders import model_folders
from graft.core.params import Params
from graft.core.project import Project
from graft.data.splits.image_groups import read_group_names
from graft.evaluation.compare_models import ModelComparison, compare_models
from graft.evaluation.prediction_table import read_prediction_table
from graft.registry.aliases import CHALLENGER, CHAMPION, registered_name
from graft.registry.resolve import stored_model

if TYPE_CHECKING:
    import pandas as pd

# Of a run, see :func:`graft.registry.runs.strategy_runs.record_evaluation`.
FILE = "test/predictions.csv"


def evaluated_names(project: Project, params: Params) -> list[str]:
    """Return the strategies and ensembles of params.yaml that are evaluated, in their order."""
    folder = project.artifacts("evaluate") / "predictions"
    return [name for name in model_folders(project, params) if (folder / f"{name}.csv").is_file()]


def named_predictions(project: Project, params: Params, names: Sequence[str]) -> dict[str, pd.DataFrame]:
    """Return the test predictions of models by name, each with columns sha256, label, predicted and ``p_<class>``.

    Args:
        names: of strategies and ensembles that are evaluated; ids of MLflow runs, 32 hex digits; registered versions
            of the project's model (``3``), its aliases (``champion``), or any (``models:/NAME/3``,
            ``models:/NAME@champion``).

    Raises:
        GraftError: there is no such model, or it has no predictions on test images.
    """
    found = {}
    # Also of what is trained by hand, and no part of train.run or ensemble.run.
    files = {path.stem: path for path in (project.artifacts("evaluate") / "predictions").glob("*.csv")}
    trained = sorted(files)
    for name in names:
        if name in files:
            found[name] = read_prediction_table(files[name])
            continue
        run_id = name if re.fullmatch(r"[0-9a-f]{32}", name) else _run_of(project, params, name, trained)
        found[name] = _of_run(project, run_id, name)
    return found


def compare_named(project: Project, params: Params, names: Sequence[str]) -> ModelComparison:
    """Return how models compare with the first by name, over groups of test images.

    Args:
        names: two or more, as of :func:`named_predictions`.

    Raises:
        GraftError: as there; or the models were evaluated on other images.
    """
    # An earlier graft wrote none: each image is then a group by itself.
    groups = read_group_names(project.test_groups) if project.test_groups.is_file() else {}
    return compare_models(named_predictions(project, params, names), groups, params.gate.confidence)


def _run_of(project: Project, params: Params, name: str, trained: Sequence[str]) -> str:
    """Return the id of the run that a registered version was made by."""
    if not name.startswith("models:/"):
        if not (name.isdecimal() or name in (CHALLENGER, CHAMPION)):
            raise GraftError(
                f"'{name}' is no evaluated strategy or ensemble, no MLflow run and no registered version",
                did_you_mean(name, [*trained, CHALLENGER, CHAMPION]),
            )
        name = f"models:/{registered_name(project, params.register_)}{'/' if name.isdecimal() else '@'}{name}"
    return stored_model(project, name)[0].run_id


def _of_run(project: Project, run_id: str, name: str) -> pd.DataFrame:
    from graft.registry.store.tracking_store import open_store

    client = open_store(project)
    with tempfile.TemporaryDirectory() as folder:
        try:
            path = Path(client.download_artifacts(run_id, FILE, folder))
        except Exception as error:
            # Each kind of artifact store raises its own.
            raise GraftError(
                f"MLflow has no test predictions of {name}: {first_line(error)}", "Evaluate it: graft run"
            ) from error
        return read_prediction_table(path).drop(columns="path", errors="ignore")
