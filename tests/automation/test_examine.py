"""What `graft doctor` finds, on projects in known states; network answers are replaced at their seams."""

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from graft.automation import examine as module
from graft.automation import examine_services
from graft.automation.examine import Finding, examine
from graft.core.download import fetch
from graft.core.git import run_git
from graft.core.project import Project
from graft.data.sources import catalogue


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "index_has", lambda package: False)
    monkeypatch.setattr(fetch, "is_reachable", lambda url: False)
    monkeypatch.setattr(catalogue, "availability", lambda project, names: {catalogue.DEFAULT: "unreachable"})


def findings(project: Project) -> dict[str, Finding]:
    return {finding.what: finding for finding in examine(project)}


def test_every_problem_comes_with_a_remedy(tmp_path: Path, offline: None) -> None:
    found = findings(Project(tmp_path))
    assert found["params.yaml"].state == "bad"
    assert found["DVC"].state == "bad"
    assert found["data/"].state == "note"
    assert found["package index"].state == "note"
    for finding in found.values():
        assert finding.state == "ok" or finding.fix, finding


def test_a_healthy_project_has_nothing_bad(project: Project, repository: Path, offline: None) -> None:
    (project.root / "params.yaml").write_bytes((repository / "params.yaml").read_bytes())
    (project.root / ".dvc").mkdir()
    run_git(project.root, "init", "--quiet")
    found = findings(project)
    assert [finding for finding in found.values() if finding.state == "bad"] == []
    assert "images" in found["data/"].found


def test_case_19_a_project_in_a_subfolder_of_a_repository_is_told_so(tmp_path: Path, offline: None) -> None:
    project = Project(tmp_path / "models" / "pets")
    project.root.mkdir(parents=True)
    assert {one.what: one.fix for one in module._repository(project)}["git"].startswith("git init")
    run_git(tmp_path, "init", "--quiet")
    found = {one.what: one for one in module._repository(project)}
    assert (found["git"].state, found["git"].fix) == ("ok", "")
    assert found["git"].found == f"no commit yet, in {tmp_path}, of which this is a part"
    assert found["DVC"].fix == "dvc init --subdir"


def test_case_13_doctor_has_gits_cure_for_a_repository_of_another_user(
    tmp_path: Path, offline: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_git(tmp_path, "init", "--quiet")
    (tmp_path / ".dvc").mkdir()
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    found = {one.what: one for one in module._repository(Project(tmp_path))}
    assert found["git"].state == "bad" and "safe.directory" in found["git"].fix
    assert found["DVC"].state == "ok"


def test_a_package_that_differs_from_the_lock_is_noted(tmp_path: Path, offline: None) -> None:
    (tmp_path / "requirements.lock").write_text("dvc==0.0.1 \\\n    --hash=sha256:00\n")
    found = findings(Project(tmp_path))
    assert found["dvc"].state == "note"
    assert "0.0.1" in found["dvc"].found
    assert found["mlflow"].state == "ok"


def test_a_package_that_is_missing_is_bad(tmp_path: Path, offline: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PACKAGES", ("no-such-package",))
    found = findings(Project(tmp_path))["no-such-package"]
    assert found == Finding("no-such-package", "bad", "not installed", "pip install --upgrade 'graft'")
    (tmp_path / "Makefile").touch()  # as in a checkout
    assert findings(Project(tmp_path))["no-such-package"].fix == "make setup"


def test_a_project_of_another_version_is_bad(tmp_path: Path, offline: None) -> None:
    assert "project" not in findings(Project(tmp_path))  # as in a checkout
    (tmp_path / "graft.version").write_text("0.0.1\n")
    found = findings(Project(tmp_path))["project"]
    assert found.state == "bad"
    assert "graft upgrade" in found.fix


def test_a_port_in_use_is_noted(tmp_path: Path, offline: None, monkeypatch: pytest.MonkeyPatch) -> None:
    import graft.automation.prefect_server

    monkeypatch.setattr(graft.automation.prefect_server, "port_is_free", lambda port: port != 5000)
    found = findings(Project(tmp_path))
    assert found["MLflow port"].state == "note"
    assert "--mlflow-port" in found["MLflow port"].fix


def test_a_database_that_is_none_is_bad(tmp_path: Path, offline: None, no_outside_settings: None) -> None:
    (tmp_path / "mlflow.db").write_text("this is no database, however long it is looked at" * 100)
    assert findings(Project(tmp_path))["MLflow store"].state == "bad"


@pytest.mark.parametrize("name", ["a#b", "a%41b", "a b"])
def test_m12_a_path_with_any_characters_is_looked_at_and_nothing_is_made(
    tmp_path: Path, offline: None, no_outside_settings: None, name: str
) -> None:
    (tmp_path / name).mkdir()
    with contextlib.closing(sqlite3.connect(tmp_path / name / "mlflow.db")) as database:
        database.execute("CREATE TABLE runs (id)")
        database.execute("CREATE TABLE model_versions (id)")
    found = findings(Project(tmp_path / name))["MLflow store"]
    assert (found.state, found.found) == ("ok", "0 runs, 0 model versions")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_folder_that_cannot_be_written_is_bad(tmp_path: Path, offline: None, no_outside_settings: None) -> None:
    (tmp_path / ".graft").write_text("a file where the folder should be")
    found = findings(Project(tmp_path))
    assert found["state folder"].state == "bad"


@pytest.fixture
def for_ever() -> Iterator[threading.Event]:
    """What never happens, until the test is over."""
    event = threading.Event()
    yield event
    event.set()


def test_d3_what_hangs_is_a_finding_and_holds_up_nothing(
    tmp_path: Path, offline: None, monkeypatch: pytest.MonkeyPatch, for_ever: threading.Event
) -> None:
    def hang(*_: object) -> None:
        for_ever.wait()

    quick = findings(Project(tmp_path))
    names = [name for name, _, _ in module._probes(Project(tmp_path))]
    hanging = [(name, otherwise, hang) for name, otherwise, _ in module._probes(Project(tmp_path))]
    monkeypatch.setattr(module, "LIMIT_SECONDS", 0.3)
    monkeypatch.setattr(module, "_probes", lambda project: hanging)
    found = findings(Project(tmp_path))
    assert list(found) == names
    assert {finding.state for finding in found.values()} == {"bad", "note"}
    assert all("no answer within" in finding.found and finding.fix for finding in found.values())
    assert not any("no answer within" in finding.found for finding in quick.values())


def test_d3_what_a_probe_raises_is_a_finding(tmp_path: Path, offline: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no such thing at postgresql://me:hunter2@host/db\nmore")

    for name in ("_python", "_packages", "_repository", "_params", "_data", "_folders", "_disk", "_tracking"):
        monkeypatch.setattr(module, name, fail)
    for name in ("_prefect", "_ports", "_gpu", "_site", "_default_data", "_version"):
        monkeypatch.setattr(module, name, fail)
    found = findings(Project(tmp_path))
    assert list(found) == [name for name, _, _ in module._probes(Project(tmp_path))]
    for finding in found.values():
        assert finding.found == "cannot be looked at: no such thing at postgresql://***@host/db"
        assert finding.fix


def test_d3_a_driver_that_hangs_is_named(tmp_path: Path, offline: None, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\nexec sleep 600\n")
    tool.chmod(0o755)
    monkeypatch.setattr(module.shutil, "which", lambda name: str(tool) if name == "nvidia-smi" else None)
    monkeypatch.setattr(module, "TOOL_SECONDS", 0.2)
    finding = findings(Project(tmp_path))["GPU"]
    assert (finding.state, finding.fix) == ("note", "Check the driver")
    assert "nvidia-smi did not answer" in finding.found


@pytest.fixture
def dead_address() -> Iterator[str]:
    """host:port on loopback where nobody listens, and nobody can begin to."""
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"


def test_d1_servers_are_asked_and_ok_only_where_they_answer(
    tmp_path: Path, offline: None, monkeypatch: pytest.MonkeyPatch, dead_address: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:hunter2@{dead_address}")
    monkeypatch.setenv("PREFECT_API_URL", f"http://me:hunter2@{dead_address}/api")
    found = findings(Project(tmp_path))
    for name in ("MLflow store", "Prefect server"):
        assert found[name].state == "bad"
        assert dead_address in found[name].found
        assert "hunter2" not in found[name].found + found[name].fix


def test_d1_a_prefect_server_that_answers_is_ok(tmp_path: Path, offline: None, monkeypatch: pytest.MonkeyPatch) -> None:
    import graft.automation.prefect_check

    monkeypatch.setenv("PREFECT_API_URL", "http://me:hunter2@127.0.0.1:4200/api")
    monkeypatch.setattr(graft.automation.prefect_check, "check_named_server", lambda url: None)
    finding = findings(Project(tmp_path))["Prefect server"]
    assert (finding.state, finding.found) == ("ok", "http://***@127.0.0.1:4200/api answers")


@pytest.mark.parametrize(("status", "found"), [(200, ["bad"]), (401, []), (500, ["bad"])])
def test_a_server_that_wants_a_password_is_not_told_to_be_of_another_version(
    status: int, found: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = requests.Response()
    answer.status_code, answer._content = status, b"1.0"
    monkeypatch.setattr("mlflow.utils.rest_utils.http_request", lambda *_, **__: answer)
    findings = examine_services._mlflow_version("http://127.0.0.1:1")
    assert [one.state for one in findings if one.what == "MLflow version"] == found
