"""What `graft doctor` finds, on projects in known states; network answers are replaced at their seams."""

from __future__ import annotations

from pathlib import Path

import pytest

from graft import doctor, fetch
from graft.data import catalogue
from graft.doctor import Finding, examine
from graft.project import Project


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
    found = findings(project)
    assert [finding for finding in found.values() if finding.state == "bad"] == []
    assert "images" in found["data/"].found


def test_a_package_that_differs_from_the_lock_is_noted(tmp_path: Path, offline: None) -> None:
    (tmp_path / "requirements.lock").write_text("dvc==0.0.1 \\\n    --hash=sha256:00\n")
    found = findings(Project(tmp_path))
    assert found["dvc"].state == "note"
    assert "0.0.1" in found["dvc"].found
    assert found["mlflow"].state == "ok"


def test_a_package_that_is_missing_is_bad(
    tmp_path: Path, offline: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "PACKAGES", ("no-such-package",))
    assert findings(Project(tmp_path))["no-such-package"] == Finding(
        "no-such-package", "bad", "not installed", "make setup"
    )


def test_a_port_in_use_is_noted(tmp_path: Path, offline: None, monkeypatch: pytest.MonkeyPatch) -> None:
    import graft.prefect_server

    monkeypatch.setattr(graft.prefect_server, "port_is_free", lambda port: port != 5000)
    found = findings(Project(tmp_path))
    assert found["MLflow port"].state == "note"
    assert "--mlflow-port" in found["MLflow port"].fix


def test_a_database_that_is_none_is_bad(tmp_path: Path, offline: None, no_outside_settings: None) -> None:
    (tmp_path / "mlflow.db").write_text("this is no database, however long it is looked at" * 100)
    assert findings(Project(tmp_path))["MLflow store"].state == "bad"


def test_a_folder_that_cannot_be_written_is_bad(
    tmp_path: Path, offline: None, no_outside_settings: None
) -> None:
    (tmp_path / ".graft").write_text("a file where the folder should be")
    found = findings(Project(tmp_path))
    assert found["state folder"].state == "bad"
