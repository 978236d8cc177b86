"""What an ensemble leaves in MLflow, and that it is registered where it is the best."""

import json
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from mlflow import MlflowClient
from recorded import NAMES, copy_of, recorded_params, set_figures, set_folder_figures
from tiny import clock

from graft.automation.run_pipeline import read_results
from graft.bundle.model import ImageClassifier
from graft.core.model_folders import model_folders
from graft.core.params import Params
from graft.core.params.ensemble_params import EnsembleOf
from graft.core.params.models import RegisterParams
from graft.core.project import Project
from graft.data.splits.split_tables import read_splits
from graft.evaluation.evaluate import TestImages as Images
from graft.evaluation.evaluate import evaluate_bundle, write_evaluation
from graft.registry.register import register_best
from graft.registry.runs.ensemble_runs import ensemble_run, record_ensemble
from graft.registry.runs.strategy_runs import read_run, record_evaluation
from graft.registry.store.seen_images import read_seen_images
from graft.registry.store.tracking_store import open_store
from graft.training.ensembles.make_ensemble import make_ensemble

pytestmark = pytest.mark.usefixtures("no_outside_settings")
EQUAL = EnsembleOf(of=NAMES, weights="equal")


@pytest.fixture(scope="module")
def made(recorded: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Two recorded strategies and the mean of them, all evaluated."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.delenv("DVC_STAGE", raising=False)
        project = copy_of(recorded, tmp_path_factory.mktemp("ensemble") / "project")
        watch = clock()
        with ensemble_run(project, EQUAL, "mean", watch) as run_id:
            ensemble = make_ensemble(project, EQUAL, "mean", watch)
            record_ensemble(project, run_id, ensemble, read_splits(project, ["val"])["val"], watch)
        images = Images(project)
        for name, folder in model_folders(project, params()).items():
            write_evaluation(name, evaluate_bundle(name, folder, images, 8, clock()), images)
            record_evaluation(project, name, folder)
    return project


def params() -> Params:
    return recorded_params(ensemble={"run": ["mean"], "ensembles": {"mean": EQUAL.model_dump()}})


@pytest.fixture
def client(made: Project) -> MlflowClient:
    return open_store(made)


@pytest.fixture
def run(made: Project, client: MlflowClient) -> mlflow.entities.Run:
    return client.get_run(read_run(made.ensemble("mean"))["run_id"])


def test_the_run_tells_members_and_weights(made: Project, run: mlflow.entities.Run) -> None:
    assert run.info.status == "FINISHED"
    assert run.info.run_name == run.data.tags["strategy"] == "mean"
    assert run.data.params == {
        "kind": "ensemble",
        "of": "first, second",
        "weights": "equal",
        "weight.first": "0.5",
        "weight.second": "0.5",
    }
    for name in NAMES:
        assert run.data.tags[f"member.{name}"] == read_run(made.strategy(name))["run_id"]


def test_its_run_knows_the_images_that_its_members_have_seen(
    made: Project, client: MlflowClient, run: mlflow.entities.Run
) -> None:
    seen = read_seen_images(client, run.info.run_id)
    assert seen is not None
    for split, table in read_splits(made, ["train", "val"]).items():
        assert set(seen.loc[seen["split"] == split, "sha256"]) == set(table["sha256"])


def test_its_figures_stand_under_the_names_of_a_strategys(
    made: Project, client: MlflowClient, run: mlflow.entities.Run
) -> None:
    figures = json.loads((made.ensemble("mean") / "metrics.json").read_text())["val"]
    for name, value in figures.items():
        assert run.data.metrics[f"val_best_{name}"] == pytest.approx(value)
    on_test = json.loads((made.artifacts("evaluate") / "metrics" / "mean.json").read_text())["test"]
    for name, value in on_test.items():
        assert run.data.metrics[f"test_{name}"] == pytest.approx(value)
    assert {"seconds_weights", "seconds_export"} <= set(run.data.metrics)
    files = {entry.path for folder in ("val", "test") for entry in client.list_artifacts(run.info.run_id, folder)}
    assert {"val/confusion.png", "val/confusion.json", "test/confusion.png"} <= files
    (dataset,) = [one for one in run.inputs.dataset_inputs if one.tags[0].value == "val"]
    assert dataset.dataset.name == "tints-val"


def test_the_model_of_the_run_answers_as_the_bundle_does(made: Project) -> None:
    model = mlflow.pyfunc.load_model(read_run(made.ensemble("mean"))["model_uri"])
    data = [(made.data / path).read_bytes() for path in read_splits(made, ["test"])["test"]["path"][:3]]
    expected = ImageClassifier(made.ensemble("mean") / "model").predict(data)
    pd.testing.assert_frame_equal(model.predict(pd.DataFrame({"image": data})), expected)


def test_the_table_has_a_row_for_it(made: Project) -> None:
    rows = read_results(made, model_folders(made, params()))
    assert [row.strategy for row in rows] == ["first", "second", "mean"]
    assert rows[-1].run_id == read_run(made.ensemble("mean"))["run_id"]


@pytest.mark.parametrize(("loss", "best"), [(0.1, "mean"), (0.25, "second"), (0.2, "second")])
def test_it_is_registered_where_it_is_the_best_on_validation(
    made: Project, tmp_path: Path, loss: float, best: str
) -> None:
    project = copy_of(made, tmp_path / "project")
    set_figures(project, "first", log_loss=0.3)
    set_figures(project, "second", log_loss=0.2)
    set_folder_figures(project.ensemble("mean"), log_loss=loss)
    registered = register_best(project, RegisterParams(), model_folders(project, params()))
    assert registered.strategy == best
    folder = model_folders(project, params())[best]
    assert registered.run_id == read_run(folder)["run_id"]
    version = open_store(project).get_model_version_by_alias("tints", "challenger")
    assert version.tags["strategy"] == best
    model = mlflow.pyfunc.load_model("models:/tints@challenger")
    data = [(project.data / path).read_bytes() for path in read_splits(project, ["test"])["test"]["path"][:2]]
    expected = ImageClassifier(folder / "model").predict(data)
    pd.testing.assert_frame_equal(model.predict(pd.DataFrame({"image": data})), expected)
