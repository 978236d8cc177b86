"""A tracking server in the place of the project's own database: what a team has, and where MLflow is stricter."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import requests
from recorded import recorded_params, train_and_record
from services import mlflow_server
from tiny import make_project

from graft.automation.prefect_server import HOST, free_port, port_is_free
from graft.bundle.model import ImageClassifier
from graft.core.params.models import RegisterParams
from graft.core.project import Project
from graft.registry.register import register_best
from graft.registry.resolve import resolve_model
from graft.registry.runs.strategy_runs import read_run
from graft.registry.store.tracking_store import open_store

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server of MLflow's, with a database and a place for files of its own."""
    folder = tmp_path_factory.mktemp("server")
    with mlflow_server(f"sqlite:///{folder / 'mlflow.db'}", str(folder / "files"), {}) as served:
        yield served.address


@pytest.fixture
def project(tmp_path: Path, no_outside_settings: None, server: str, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    return make_project(tmp_path / "project")


def test_a_model_is_registered_there_and_found_from_another_machine(
    project: Project, tmp_path: Path, server: str
) -> None:
    run_id = train_and_record(project, recorded_params(), "first")
    registered = register_best(project, RegisterParams(), {"first": project.strategy("first")})
    assert (registered.version, registered.run_id) == ("1", run_id)
    assert open_store(project).get_model_version(registered.model, "1").run_id == run_id
    assert not (project.root / "mlflow.db").exists()
    assert not project.mlflow_artifacts.exists()

    # What MLflow's page of the model is made from: figures of the chosen epoch, with their data set.
    model_id = read_run(project.strategy("first"))["model_uri"].removeprefix("models:/")
    page = requests.get(f"{server}/api/2.0/mlflow/logged-models/{model_id}", timeout=60).json()
    metrics = {metric["key"]: metric for metric in page["model"]["data"]["metrics"]}
    assert {"val_accuracy", "val_log_loss", "val_best_log_loss"} <= set(metrics)
    assert "loss" not in metrics
    assert metrics["val_log_loss"]["dataset_name"] == "tints-val"

    elsewhere = Project(tmp_path / "elsewhere")
    elsewhere.state.mkdir(parents=True)
    model = resolve_model(elsewhere, f"models:/{registered.model}@challenger")
    assert model.version == "1"
    assert ImageClassifier(model.bundle).classes == ImageClassifier(project.strategy("first") / "model").classes


def test_its_pages_are_what_ui_tells_of(project: Project, repository: Path, server: str) -> None:
    (project.root / "params.yaml").write_bytes((repository / "params.yaml").read_bytes())
    (project.root / "dvc.yaml").write_bytes((repository / "dvc.yaml").read_bytes())
    command = [sys.executable, "-c", "from graft.cli.main import main; main()", "ui"]
    port = free_port()
    process = psutil.Popen(
        [*command, "--prefect-port", str(port)],
        cwd=project.root,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        told = [process.stdout.readline() for _ in range(5)]
        page = rf"  {server}/#/experiments(/\d+/runs)?\?workflowType=machine_learning(&viewStateShareKey=graft)?\n"
        assert re.match(page, told[1]), told
        assert told[3].startswith(f"  http://{HOST}:{port}    password graft:"), told
        assert told[4] == "Ctrl-C ends Prefect. The other was not started here, and stays.\n"
    finally:
        process.terminate()
        process.wait(timeout=60)
    assert port_is_free(port)
    assert open_store(project) is not None  # the server is still there
