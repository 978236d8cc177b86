"""What brings deliveries in: commands that fail, hang, or come right at the second try."""

import os
import shutil
import signal
import sys
from pathlib import Path

import pytest
from small_project import REPOSITORY, deliver, make_small_project, picture, pictures_in, shell

from graft.automation.retraining.fetch_deliveries import fetch, run_command, update
from graft.automation.retraining.retraining import Retraining
from graft.core.errors import GraftError
from graft.core.params import load_params
from graft.core.params.retrain_params import DeliverySourceParams
from graft.core.project import Project


@pytest.fixture
def waits() -> list[float]:
    return []


def test_a_command_runs_in_the_project(tmp_path: Path, waits: list[float]) -> None:
    run_command(Project(tmp_path), DeliverySourceParams(command="mkdir -p inbox && echo x > inbox/file"), waits.append)
    assert (tmp_path / "inbox/file").read_text() == "x\n"
    assert waits == []


def test_without_a_command_nothing_runs(tmp_path: Path, waits: list[float]) -> None:
    run_command(Project(tmp_path), DeliverySourceParams(), waits.append)
    assert list(tmp_path.iterdir()) == []


def test_a_command_that_fails_is_tried_again_with_longer_waits(tmp_path: Path, waits: list[float]) -> None:
    command = "echo once more >> tries; test $(wc -l < tries) -ge 3"
    run_command(Project(tmp_path), DeliverySourceParams(command=command, retries=3), waits.append)
    assert waits == [10.0, 20.0]


def test_a_command_that_never_works_says_what_it_printed(tmp_path: Path, waits: list[float]) -> None:
    with pytest.raises(GraftError, match="ended with 3: no route to the camera"):
        run_command(
            Project(tmp_path),
            DeliverySourceParams(command="echo no route to the camera; exit 3", retries=2),
            waits.append,
        )
    assert waits == [10.0, 20.0]


def test_l16_what_a_command_leaves_at_work_is_not_waited_for(tmp_path: Path, waits: list[float]) -> None:
    params = DeliverySourceParams(command="sleep 600 & echo $! > child", timeout_seconds=60, retries=0)
    try:
        run_command(Project(tmp_path), params, waits.append)
    finally:
        os.kill(int((tmp_path / "child").read_text()), signal.SIGKILL)


def test_a_command_that_hangs_is_ended_with_what_it_started(tmp_path: Path, waits: list[float]) -> None:
    import psutil

    command = "sleep 600 & echo $! > child; wait"
    with pytest.raises(GraftError, match="had not ended after 1 s"):
        run_command(
            Project(tmp_path), DeliverySourceParams(command=command, timeout_seconds=1, retries=0), waits.append
        )
    child = int((tmp_path / "child").read_text())
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("command", ["fetch", "update"])
def test_a_transfer_of_dvc_s_that_hangs_is_ended_and_tried_again(
    tmp_path: Path, waits: list[float], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    hanging = tmp_path / "python"
    hanging.write_text("#!/bin/sh\nexec sleep 600\n")
    hanging.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(hanging))
    project, params = Project(tmp_path), DeliverySourceParams(timeout_seconds=1, retries=1)
    (tmp_path / "data.dvc").write_text("deps:\n- repo:\n    url: ../registry\n")
    with pytest.raises(GraftError, match=f"`dvc {command} data.dvc` had not ended after 1 s"):
        if command == "fetch":
            fetch(project, params, waits.append)
        else:
            update(project, project, params, waits.append)
    assert waits == [10.0]


def test_what_dvc_imports_from_beside_the_project_is_brought_up_to_date_in_the_worktree(
    tmp_path: Path, waits: list[float]
) -> None:
    registry, project = make_small_project(tmp_path / "registry"), Project(tmp_path / "project")
    dvc = [sys.executable, "-m", "dvc"]
    project.root.mkdir()
    shell(project.root, "git", "init", "-q")
    shell(project.root, *dvc, "init", "-q")
    shell(project.root, *dvc, "import", "-q", "../registry", "data")
    own = Project(project.root / "deep/er/worktree")
    shutil.copytree(project.root, own.root, ignore=shutil.ignore_patterns("deep"))
    picture("red", 5000).save(registry.data / "red/new.png")
    shell(registry.root, *dvc, "add", "-q", "data")
    shell(registry.root, "git", "commit", "-qam", "More")
    before = pictures_in(project)
    update(project, own, DeliverySourceParams(retries=0), waits.append)
    assert pictures_in(own) == pictures_in(registry) != before == pictures_in(project)
    assert "url: ../registry" in (own.root / "data.dvc").read_text()


def test_what_dvc_refuses_is_tried_again_and_told(tmp_path: Path, waits: list[float]) -> None:
    with pytest.raises(GraftError, match="dvc fetch"):
        fetch(Project(tmp_path), DeliverySourceParams(retries=1), waits.append)
    assert waits == [10.0]


def test_a_delivery_into_data_that_comes_from_elsewhere_is_refused_and_stays(tmp_path: Path) -> None:
    text = (REPOSITORY / "params.yaml").read_text(encoding="utf-8")
    for old, new in {"remote: none ": "remote: update ", "settle_seconds: 30 ": "settle_seconds: 0 "}.items():
        assert text.count(old) == 1
        text = text.replace(old, new)
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    deliver(tmp_path / "inbox/week-1", {"red": 2})
    retraining = Retraining(Project(tmp_path), load_params(tmp_path / "params.yaml"))
    with pytest.raises(GraftError, match="holds week-1, and retrain.source.remote is update"):
        retraining.look()
    assert len(list((tmp_path / "inbox/week-1/red").iterdir())) == 2
