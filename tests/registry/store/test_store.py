"""MLflow's store: created once, opened by many."""

import contextlib
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from filelock import FileLock
from mlflow.tracking._tracking_service.utils import _artifact_repos_cache
from recorded import copy_of

from graft.automation.prefect_server import free_port
from graft.core.errors import GraftError
from graft.core.params.models import RegisterParams
from graft.core.project import Project
from graft.registry.register import register_best
from graft.registry.resolve import resolve_model
from graft.registry.store import tracking_store as store
from graft.registry.store.runs_page import VIEW_TAG, runs_page
from graft.registry.store.tracking_store import bring_home, experiment_id, open_store

OPEN = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from graft.core.project import Project
from graft.registry.store.tracking_store import experiment_id, open_store
project = Project(Path(sys.argv[1]))
print(experiment_id(project, open_store(project), "tints"))
"""


@pytest.mark.slow
@pytest.mark.usefixtures("no_outside_settings")
def test_processes_that_open_a_fresh_store_at_once_do_not_collide(tmp_path: Path) -> None:
    command = [sys.executable, "-c", OPEN, str(tmp_path)]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [process.communicate(timeout=300) for process in started]
    assert [process.returncode for process in started] == [0, 0], outputs
    # The same experiment, not one each.
    assert len({output.splitlines()[-1] for output, _ in outputs}) == 1


def test_case_20_a_group_that_shares_a_project_may_write_its_database(project: Project) -> None:
    before = os.umask(0o002)
    try:
        open_store(project)
    finally:
        os.umask(before)
    assert (project.home / "mlflow.db").stat().st_mode & 0o777 == 0o664


def test_an_experiment_that_was_deleted_is_taken_up_again(project: Project) -> None:
    client = open_store(project)
    first = experiment_id(project, client, "tints")
    client.delete_experiment(first)
    assert experiment_id(project, client, "tints") == first
    assert client.get_experiment(first).lifecycle_stage == "active"


def test_a_store_that_cannot_be_opened_says_which(project: Project) -> None:
    (project.home / "mlflow.db").write_bytes(b"this is no database, whatever its name may say")
    with pytest.raises(GraftError, match=r"store sqlite:///.*mlflow.db cannot be opened: .*MLFLOW_TRACKING_URI"):
        open_store(project)


def test_what_an_interrupted_creation_left_is_no_store(
    project: Project, monkeypatch: pytest.MonkeyPatch, made_tables: Callable[[Path, Path], None]
) -> None:
    monkeypatch.setattr(store, "_create", made_tables)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("mlflow.store.tracking.sqlalchemy_store.SqlAlchemyStore.__init__", interrupted)
        with pytest.raises(KeyboardInterrupt):
            open_store(project)
    assert not list(project.home.glob("*mlflow*"))
    client = open_store(project)
    assert client.get_experiment("0").name == "Default"
    # What was created without waiting for the disk is written like any other from then on.
    engine = client._tracking_client.store.engine
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL


def test_a_store_that_is_there_is_left_as_it_is(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    open_store(project)
    monkeypatch.setattr(store, "_create", lambda *_: pytest.fail("created twice"))
    open_store(project)


def test_the_page_of_a_data_set_is_that_of_its_runs(project: Project) -> None:
    client = open_store(project)
    assert runs_page(client, "http://h:1/", "lights") == "http://h:1/#/experiments?workflowType=machine_learning"
    number = experiment_id(project, client, "lights")
    address = f"http://h:1/#/experiments/{number}/runs?workflowType=machine_learning"
    assert runs_page(client, "http://h:1", "lights") == f"{address}&viewStateShareKey=graft"
    view = json.loads(client.get_experiment(number).tags[VIEW_TAG])
    assert set(view) == {"name", "createdAt", "updatedAt", "state"}
    assert "metrics.`test_accuracy`" in json.loads(view["state"])["selectedColumns"]
    client.set_experiment_tag(number, VIEW_TAG, "of a person")
    runs_page(client, "http://h:1", "lights")
    assert client.get_experiment(number).tags[VIEW_TAG] == "of a person"


def test_a2_the_name_of_a_data_set_leads_nowhere_else(project: Project) -> None:
    client = open_store(project)
    for name in ("../elsewhere", "/tmp/elsewhere", "a//b"):
        with pytest.raises(GraftError, match="name of the data set names the path"):
            experiment_id(project, client, name)


# An address that answers nothing, of each kind that MLflow takes; the second accepts a connection and says no word.
@pytest.mark.parametrize("uri", ["http://user:pa55@{refused}", "http://{silent}", "postgresql://u:pa55@{refused}/db"])
def test_d1_a_dead_store_is_found_out_in_seconds_and_without_its_password(
    project: Project, monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    monkeypatch.setattr("graft.registry.store.reachable.ANSWER_SECONDS", 0.5)
    # By itself it would try for four minutes.
    monkeypatch.setattr("mlflow.MlflowClient.__init__", lambda *_, **__: pytest.fail("MLflow was asked"))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        places = {"silent": f"127.0.0.1:{silent.getsockname()[1]}", "refused": f"127.0.0.1:{free_port()}"}
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri.format(**places))
        with pytest.raises(GraftError, match=r"does not answer.*MLFLOW_TRACKING_URI") as raised:
            open_store(project)
    assert "pa55" not in str(raised.value)


def test_d1_whoever_waits_for_another_process_says_so(
    project: Project, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(store, "_LOCK_SECONDS", 2.2)
    project.state.mkdir(parents=True, exist_ok=True)
    with (
        FileLock(project.state / "mlflow.lock", is_singleton=False),
        pytest.raises(GraftError, match="Another process has been opening MLflow's store"),
    ):
        open_store(project)
    assert "Waiting for another process" in capfd.readouterr().err


def test_d1_a_store_that_is_there_waits_for_nobody(project: Project) -> None:
    open_store(project)
    with FileLock(project.state / "mlflow.lock", is_singleton=False):
        experiment_id(project, open_store(project), "tints")


def places(project: Project) -> set[str]:
    """Everything in the database that says where files lie."""
    with contextlib.closing(sqlite3.connect(project.home / "mlflow.db")) as connection:
        rows = [connection.execute(f"SELECT {column} FROM {table}").fetchall() for table, column in store._PLACES]
    return {row[0] for table in rows for row in table if row[0]}


@pytest.mark.parametrize("how", ["copied", "moved"])
def test_b12_a_project_elsewhere_reads_and_writes_its_own_files(
    recorded: Project, tmp_path: Path, no_outside_settings: None, how: str
) -> None:
    first = copy_of(recorded, tmp_path / "first place")
    client = open_store(first)
    version = register_best(first, RegisterParams(), {"first": first.strategy("first")})
    client.create_model_version("tints", "s3://bucket/mlartifacts/model")
    before = {path: path.read_bytes() for path in first.root.rglob("*") if path.is_file()}
    second = Project(tmp_path / "second")
    if how == "copied":
        shutil.copytree(first.root, second.root)
    else:
        first.root.rename(second.root)
    _artifact_repos_cache.clear()  # as in a process of its own

    client = open_store(second)
    assert not [place for place in places(second) if "first%20place" in place or str(recorded.root) in place]
    assert "s3://bucket/mlartifacts/model" in places(second)
    client.log_text(version.run_id, "new", "new.txt")
    experiment = experiment_id(second, client, "tints")
    assert client.get_experiment(experiment).artifact_location == (second.mlflow_artifacts / "tints").as_uri()
    model = resolve_model(second, "models:/tints@challenger")
    assert model.bundle.is_relative_to(second.root)
    assert len(list(second.root.rglob("new.txt"))) == 1
    if how == "copied":
        assert {path: path.read_bytes() for path in first.root.rglob("*") if path.is_file()} == before
        # And the original goes on as before, whoever opened the copy.
        assert resolve_model(first, "models:/tints@challenger").bundle.is_relative_to(first.root)
    else:
        assert not first.root.exists()


def test_b12_a_project_that_stays_is_not_written_to(recorded: Project, tmp_path: Path) -> None:
    project = copy_of(recorded, tmp_path / "project")
    database = project.home / "mlflow.db"
    assert bring_home(database, project.mlflow_artifacts) == [recorded.mlflow_artifacts.as_uri()]
    found = database.read_bytes()
    assert bring_home(database, project.mlflow_artifacts) == []
    assert database.read_bytes() == found


def test_threads_leave_the_environment_as_it_was(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(8) as pool:
            uris = [f"sqlite:///{tmp_path}/{number % 8}.db" for number in range(400)]
            list(pool.map(store._point_mlflow_at, uris))
    finally:
        sys.setswitchinterval(before)
    assert "MLFLOW_TRACKING_URI" not in os.environ


def test_case_5_runs_and_models_lie_in_a_folder_of_any_name(tmp_path: Path) -> None:
    import mlflow

    project = Project(tmp_path / "R&D's Fotos für #1%41, 100%")
    project.root.mkdir()
    client = open_store(project)
    run = client.create_run(experiment_id(project, client, "pets")).info
    client.log_text(run.run_id, "bytes", "model/weights.txt")
    client.create_registered_model("pets")
    client.create_model_version("pets", f"{run.artifact_uri}/model", run.run_id)
    client.set_registered_model_alias("pets", "champion", "1")
    fetched = Path(mlflow.artifacts.download_artifacts("models:/pets@champion", dst_path=str(project.root / "out")))
    assert (fetched / "weights.txt").read_text() == "bytes"
    assert [path.name for path in tmp_path.iterdir()] == [project.root.name]
    assert {"mlflow.db", "mlartifacts"} <= {path.name for path in project.root.iterdir()}
