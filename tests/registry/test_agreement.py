"""Whether MLflow has what the pipeline's files say, after DVC has restored them without running a stage."""

import json
from pathlib import Path

import pytest
from mlflow import MlflowClient
from recorded import NAMES, copy_of, recorded_params
from tiny import clock

from graft.automation import run_pipeline as pipeline
from graft.core.params import Params
from graft.core.params.models import RegisterParams
from graft.core.project import Project
from graft.evaluation.evaluate import TestImages as Images
from graft.evaluation.evaluate import evaluate_bundle, write_evaluation
from graft.registry.agreement import mend
from graft.registry.register import register_best
from graft.registry.runs.strategy_runs import read_run, record_evaluation
from graft.registry.store.tracking_store import open_store

pytestmark = pytest.mark.usefixtures("no_outside_settings")
REGISTER = ["--force", "--single-item", "register"]


@pytest.fixture(scope="module")
def finished(recorded: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose pipeline has run to its end: trained, evaluated and registered."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        project = copy_of(recorded, tmp_path_factory.mktemp("agreement") / "project")
        images = Images(project)
        open_store(project)
        for name in NAMES:
            write_evaluation(name, evaluate_bundle(name, project.strategy(name), images, 8, clock()), images)
            record_evaluation(project, name, project.strategy(name))
        register_best(project, RegisterParams(), {name: project.strategy(name) for name in NAMES})
    return project


@pytest.fixture
def project(finished: Project, tmp_path: Path, no_outside_settings: None) -> Project:
    return copy_of(finished, tmp_path / "project")


@pytest.fixture
def client(project: Project) -> MlflowClient:
    return open_store(project)


@pytest.fixture
def params() -> Params:
    return recorded_params()


def test_b6_where_everything_agrees_nothing_is_done_again(
    project: Project, params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graft.registry.agreement.record_evaluation", lambda *_: pytest.fail("recorded again"))
    assert mend(project, params) == []


def test_b6_a_version_restored_by_dvc_is_challenger_again(
    project: Project, params: Params, client: MlflowClient
) -> None:
    """Bad images came and went: the files are those of the first version, the alias is on the second."""
    record = json.loads((project.artifacts("register") / "registered.json").read_text())
    other = next(name for name in NAMES if read_run(project.strategy(name))["run_id"] != record["run_id"])
    before = (project.artifacts("register") / "registered.json").read_bytes()
    register_best(project, RegisterParams(), {other: project.strategy(other)})
    (project.artifacts("register") / "registered.json").write_bytes(before)
    assert str(client.get_model_version_by_alias("tints", "challenger").version) == "2"
    assert mend(project, params) == REGISTER
    # What the stage does when it runs again:
    register_best(project, RegisterParams(), {name: project.strategy(name) for name in NAMES})
    assert mend(project, params) == []
    assert str(client.get_model_version_by_alias("tints", "challenger").version) == "1"


@pytest.mark.parametrize("lost", ["alias", "version", "model"])
def test_b6_what_is_gone_from_the_registry_is_registered_again(
    project: Project, params: Params, client: MlflowClient, lost: str
) -> None:
    if lost == "alias":
        client.delete_registered_model_alias("tints", "challenger")
    elif lost == "version":
        client.delete_model_version("tints", "1")
    else:
        client.delete_registered_model("tints")
    assert mend(project, params) == REGISTER


def test_b6_a_model_that_is_not_in_the_store_is_trained_again(project: Project, params: Params) -> None:
    (project.home / "mlflow.db").unlink()  # as in a fresh clone
    assert mend(project, params) == ["--force", "--downstream", "train@first", "train@second"]


def test_b6_test_figures_of_another_evaluation_are_recorded_again(
    project: Project, params: Params, client: MlflowClient
) -> None:
    run = read_run(project.strategy("second"))
    expected = client.get_run(run["run_id"]).data.metrics["test_log_loss"]
    client.log_metric(run["run_id"], "test_log_loss", 9.0)
    assert mend(project, params) == []
    assert client.get_run(run["run_id"]).data.metrics["test_log_loss"] == pytest.approx(expected)
    model = client.get_logged_model(run["model_uri"].removeprefix("models:/"))
    on_model = [metric.value for metric in model.metrics if metric.key == "test_log_loss"]
    assert on_model == pytest.approx([expected] * len(on_model))


@pytest.mark.parametrize(
    ("arguments", "asked"),
    [([], True), (["--force"], True), (["train@first"], False), (["--dry"], False), (["-s", "split"], False)],
)
def test_b6_mlflow_is_asked_after_the_whole_pipeline_and_the_stage_runs_again(
    project: Project, repository: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], asked: bool
) -> None:
    runs = []
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    monkeypatch.setenv("GRAFT_WARM", "off")
    monkeypatch.setattr(pipeline, "_run_dvc", lambda _, arguments, *__: runs.append(arguments))
    open_store(project).delete_registered_model_alias("tints", "challenger")
    (project.root / "params.yaml").write_bytes((repository / "params.yaml").read_bytes())
    pipeline.reproduce(project, arguments)
    assert runs == [arguments, REGISTER] if asked else [arguments]
