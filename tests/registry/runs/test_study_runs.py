"""A study in MLflow: its run, the nested ones, and its tables."""

from pathlib import Path

import pandas as pd
import pytest
from recorded import copy_of

from graft.core.project import Project
from graft.registry.runs.study_runs import Study, record_study
from graft.registry.store.tracking_store import open_store


def test_a_study_is_a_run_with_a_nested_one_for_each_row(
    recorded: Project, tmp_path: Path, no_outside_settings: None
) -> None:
    project = copy_of(recorded, tmp_path / "project")
    rows = [{"without": "", "accuracy": 0.9}, {"without": "depths below the top", "accuracy": 0.8, "low": -0.2}]
    tables = {"ablation.csv": pd.DataFrame(rows)}
    study = Study("ablate", "frozen", {"folds": 5}, rows, {"accuracy_low": 0.7}, tables)
    run_id = record_study(project, study)
    client = open_store(project)
    run = client.get_run(run_id)
    assert (run.data.params["folds"], run.data.metrics["accuracy_low"]) == ("5", 0.7)
    assert (run.data.tags["study"], run.data.tags["strategy"]) == ("ablate", "frozen")
    assert "ablation.csv" in {entry.path for entry in client.list_artifacts(run_id)}
    nested = client.search_runs([run.info.experiment_id], f"tags.`mlflow.parentRunId` = '{run_id}'")
    found = {one.info.run_name: one.data for one in nested}
    assert set(found) == {"as it is", "without depths below the top"}
    assert found["without depths below the top"].metrics == pytest.approx({"accuracy": 0.8, "low": -0.2})
