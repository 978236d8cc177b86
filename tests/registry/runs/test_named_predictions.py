"""Predictions of what is in MLflow, by run, version and alias."""

from pathlib import Path

import pandas as pd
import pytest
from recorded import copy_of
from tiny import tiny_params

from graft.core.errors import GraftError
from graft.core.project import Project
from graft.registry.runs.named_predictions import FILE, compare_named, named_predictions
from graft.registry.runs.strategy_runs import read_run
from graft.registry.store.tracking_store import open_store


def test_runs_versions_and_aliases_are_compared_by_the_predictions_in_their_runs(
    recorded: Project, tmp_path: Path, no_outside_settings: None
) -> None:
    project = copy_of(recorded, tmp_path / "project")
    client, params = open_store(project), tiny_params()
    records = [read_run(project.strategy(name)) for name in ("first", "second")]
    runs = [record["run_id"] for record in records]
    client.create_registered_model("tints")
    for record, predicted in zip(records, ("red", "001"), strict=True):
        table = pd.DataFrame({"path": ["a.png"], "sha256": ["a" * 64], "label": ["red"], "predicted": [predicted]})
        client.log_text(record["run_id"], table.assign(p_red=0.5, p_001=0.5).to_csv(index=False), FILE)
        client.create_model_version("tints", record["model_uri"], run_id=record["run_id"])
    client.set_registered_model_alias("tints", "champion", "1")
    names = [runs[0], "champion", "1", "models:/tints/2", "models:/tints@champion"]
    found = named_predictions(project, params, names)
    assert [found[name].loc[0, "predicted"] for name in names] == ["red", "red", "red", "001", "red"]
    compared = compare_named(project, params, ["champion", "models:/tints/2"])
    assert compared.differences[0].comparison.only_champion_right == 1
    with pytest.raises(GraftError, match="no model models:/tints/7"):
        named_predictions(project, params, ["7"])
    with pytest.raises(GraftError, match="no test predictions"):
        named_predictions(project, params, ["f" * 32])
