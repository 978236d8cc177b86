"""`graft compare` on predictions that are there: what it prints at 80 columns, as JSON and as a file."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tiny import make_project
from typer.testing import CliRunner

from graft.cli.main import app
from graft.core.errors import GraftError
from graft.core.project import Project
from graft.data.splits.split_tables import read_split_table
from graft.evaluation.prediction_table import with_probabilities


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Strategies frozen, without an error, and fine_tune, which takes two test images for green."""
    project = make_project(tmp_path_factory.mktemp("compare") / "project")
    shutil.copy(Path(__file__).parents[2] / "params.yaml", project.params_file)
    folder = project.artifacts("evaluate") / "predictions"
    folder.mkdir(parents=True)
    test = read_split_table(project.split_table("test"))
    classes = sorted(test["label"].unique())
    for name, wrong in (("frozen", 0), ("fine_tune", 2)):
        predicted = test["label"].where(np.arange(len(test)) >= wrong, "green")
        chances = np.where(predicted.to_numpy()[:, None] == np.array(classes)[None, :], 0.9, 0.05)
        table = with_probabilities(test.assign(predicted=predicted), classes, chances)
        table.to_csv(folder / f"{name}.csv", index=False)
    return project


@pytest.fixture
def here(evaluated: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(evaluated.root)
    monkeypatch.setenv("COLUMNS", "80")
    return evaluated


def test_the_table_fits_and_says_that_so_few_images_cannot_tell(here: Project) -> None:
    shown = CliRunner().invoke(app, ["compare", "frozen", "fine_tune"], catch_exceptions=False).output
    assert "100.00% [79.6, 100.0]" in shown
    assert "not distinguishable" in shown
    assert "Test: 15 images." in shown
    assert "They disagree on" in shown
    assert max(len(line) for line in shown.splitlines() if "[" in line) <= 80


def test_disagreements_go_to_a_file_with_paths(here: Project, tmp_path: Path) -> None:
    out = tmp_path / "differ.csv"
    result = CliRunner().invoke(app, ["compare", "--out", str(out)], catch_exceptions=False)
    table = pd.read_csv(out)
    assert set(table.columns) == {"path", "sha256", "label", "frozen", "fine_tune"}
    assert (table["frozen"] == table["label"]).all()
    assert all((here.data / path).is_file() for path in table["path"])
    assert f"They disagree on {len(table)} of 15 images" in result.output


def test_what_is_no_part_of_train_run_is_compared_by_its_name(here: Project) -> None:
    folder = here.artifacts("evaluate") / "predictions"
    shutil.copy(folder / "frozen.csv", folder / "by_hand.csv")
    try:
        named = CliRunner().invoke(app, ["compare", "frozen", "by_hand", "--json"], catch_exceptions=False)
        usual = CliRunner().invoke(app, ["compare", "--json"], catch_exceptions=False)
    finally:
        (folder / "by_hand.csv").unlink()
    assert set(json.loads(named.stdout)["models"]) == {"frozen", "by_hand"}
    assert set(json.loads(usual.stdout)["models"]) == {"frozen", "fine_tune"}


def test_as_json_it_is_one_document(here: Project) -> None:
    result = CliRunner().invoke(app, ["compare", "fine_tune", "frozen", "--json"], catch_exceptions=False)
    found = json.loads(result.stdout)
    assert (found["reference"], found["images"], found["groups"]) == ("fine_tune", 15, 15)
    (against,) = found["against_reference"]
    assert against["model"] == "frozen"
    assert against["low"] <= against["accuracy_difference"] <= against["high"]


@pytest.mark.parametrize(
    ("names", "message"),
    [(["frozen"], "name two models"), (["frozen", "frozen"], "name two models"), (["frozen", "fine_tun"], "fine_tune")],
)
def test_a_slip_is_answered(here: Project, names: list[str], message: str) -> None:
    result = CliRunner().invoke(app, ["compare", *names])
    assert isinstance(result.exception, GraftError)
    assert message in str(result.exception)


def test_slices_are_by_what_was_measured_and_by_a_table(here: Project, tmp_path: Path) -> None:
    manifest = pd.read_parquet(here.manifest)
    columns = {"width": 20, "height": 20, "brightness": 0.5, "sharpness": 1.0}
    before = here.manifest.read_bytes()
    manifest.assign(**columns).to_parquet(here.manifest, index=False)
    table = tmp_path / "cameras.csv"
    paths = sorted(manifest["path"])
    pd.DataFrame({"path": paths, "camera": "phone"}).to_csv(table, index=False)
    try:
        shown = CliRunner().invoke(app, ["slices", "fine_tune"], catch_exceptions=False).output
        assert "too few for slices of ten" in shown  # 15 images, five of each class
        result = CliRunner().invoke(app, ["slices", "--table", str(table), "--json"], catch_exceptions=False)
        assert json.loads(result.stdout)["slices"] == []
        table.write_text("camera\nphone\n")
        refused = CliRunner().invoke(app, ["slices", "--table", str(table)])
        assert "neither a column path nor sha256" in str(refused.exception)
        table.write_text("path,camera\nelsewhere.jpg,phone\n")
        refused = CliRunner().invoke(app, ["slices", "--table", str(table)])
        assert "names none of the test images" in str(refused.exception)
    finally:
        here.manifest.write_bytes(before)
