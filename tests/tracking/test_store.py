"""MLflow's store: created once, opened by many."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from graft.errors import GraftError
from graft.project import Project
from graft.tracking import store
from graft.tracking.store import experiment_id, open_store, runs_page

OPEN = """
import sys
from pathlib import Path
from graft.project import Project
from graft.tracking import store
from graft.tracking.store import experiment_id, open_store
project = Project(Path(sys.argv[1]))
print(experiment_id(project, open_store(project), "tints"))
"""


@pytest.mark.slow
@pytest.mark.usefixtures("no_outside_settings")
def test_processes_that_open_a_fresh_store_at_once_do_not_collide(tmp_path: Path) -> None:
    command = [sys.executable, "-c", OPEN, str(tmp_path)]
    started = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)
    ]
    outputs = [process.communicate(timeout=300) for process in started]
    assert [process.returncode for process in started] == [0, 0], outputs
    # The same experiment, not one each.
    assert len({output.splitlines()[-1] for output, _ in outputs}) == 1


def test_an_experiment_that_was_deleted_is_taken_up_again(project: Project) -> None:
    client = open_store(project)
    first = experiment_id(project, client, "tints")
    client.delete_experiment(first)
    assert experiment_id(project, client, "tints") == first
    assert client.get_experiment(first).lifecycle_stage == "active"


def test_a_store_that_cannot_be_opened_says_which(project: Project) -> None:
    (project.home / "mlflow.db").write_bytes(b"this is no database, whatever its name may say")
    with pytest.raises(
        GraftError, match=r"store sqlite:///.*mlflow.db cannot be opened: .*MLFLOW_TRACKING_URI"
    ):
        open_store(project)


def test_what_an_interrupted_creation_left_is_no_store(project: Project) -> None:
    (project.home / "mlflow.db.partial").write_bytes(b"half of a database")
    (project.home / "mlflow.db").unlink(missing_ok=True)
    client = open_store(project)
    assert client.get_experiment("0").name == "Default"
    assert not (project.home / "mlflow.db.partial").exists()
    # What was created without waiting for the disk is written like any other from then on.
    engine = client._tracking_client.store.engine
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL


def test_a_store_that_is_there_is_left_as_it_is(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    open_store(project)
    monkeypatch.setattr(store, "_create", lambda database: pytest.fail("created twice"))
    open_store(project)


def test_the_page_of_a_data_set_is_that_of_its_runs(project: Project) -> None:
    client = open_store(project)
    assert (
        runs_page(client, "http://h:1/", "lights") == "http://h:1/#/experiments?workflowType=machine_learning"
    )
    number = experiment_id(project, client, "lights")
    assert runs_page(client, "http://h:1", "lights") == (
        f"http://h:1/#/experiments/{number}?workflowType=machine_learning"
    )
