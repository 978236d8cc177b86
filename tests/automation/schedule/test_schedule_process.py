"""`graft schedule` as a process, with a Prefect server of its own: runs, commands beside it, and a clean end."""

import base64
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from automation.retraining.small_project import make_small_project, shell

from graft.automation.prefect_server import free_port, running_server
from graft.core.project import Project

LIMIT_SECONDS = 240  # of patience on a busy machine; nothing is measured


def make_still_project(root: Path, repository: Path) -> Project:
    """A project in which there is nothing to do: no stages, an empty inbox."""
    project = make_small_project(root)
    (root / "dvc.yaml").write_text("stages: {}\n")
    (root / "dvc.lock").write_text("schema: '2.0'\n")
    (root / "pipelines").mkdir()
    for name in ("__init__.py", "retrain.py"):
        shutil.copy(repository / "pipelines" / name, root / "pipelines")
    shell(root, "git", "add", "-A")
    shell(root, "git", "commit", "-q", "-m", "Nothing to do")
    return project


class Schedule:
    """The process, and what can be asked of it."""

    def __init__(self, project: Project, repository: Path) -> None:
        self.project = project
        mine = {"PYTHONPATH": str(repository / "src"), "COLUMNS": "200"}
        without = ("PREFECT_", "MLFLOW_", "DVC_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(without)}
        # Others first: a path that a person has put there may hold what the checkout's environment lacks.
        outside = os.environ.get("PYTHONPATH", "")
        self.environment = {**kept, **mine, "PYTHONPATH": os.pathsep.join(filter(None, [outside, mine["PYTHONPATH"]]))}
        self.port = free_port()
        self.log = project.root / ".graft" / "schedule.out"
        self.log.parent.mkdir(exist_ok=True)
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                self.command("--every", "5", "--prefect-port", str(self.port)),
                cwd=project.root / "pipelines",  # any folder of the project will do
                env=self.environment,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def command(self, *arguments: str) -> list[str]:
        code = "from graft.cli.main import main; main()"
        return [sys.executable, "-c", code, "schedule", *arguments]

    def ask(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments),
            cwd=self.project.root,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
        )

    def with_variables(self, exports: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run Python in a shell that has evaluated what `graft schedule env` has printed."""
        command = shlex.join([sys.executable, *arguments])
        return subprocess.run(
            ["sh", "-c", f"{exports}\nexec {command}"],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
        )

    def api(self, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/api/{path}",
            data,
            {"Content-Type": "application/json", "Authorization": f"Basic {self.token}"},
        )
        deadline = time.monotonic() + LIMIT_SECONDS
        while True:
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    return json.load(answer)
            except urllib.error.HTTPError as error:
                if error.code != 503 or time.monotonic() > deadline:  # its database is busy
                    raise

    @property
    def token(self) -> str:
        server = running_server(self.project)
        assert server is not None
        return base64.b64encode(server.password.encode()).decode()

    def wait_for(self, what: Callable[[], bool]) -> None:
        deadline = time.monotonic() + LIMIT_SECONDS
        while not what():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.2)

    def runs(self, state: str) -> list[dict[str, Any]]:
        return self.api("flow_runs/filter", {"flow_runs": {"state": {"type": {"any_": [state]}}}})


@pytest.fixture
def schedule(tmp_path: Path, repository: Path) -> Iterator[Schedule]:
    started = Schedule(make_still_project(tmp_path / "project", repository), repository)
    yield started
    if started.process.poll() is None:
        for child in psutil.Process(started.process.pid).children(recursive=True):
            child.kill()
        started.process.kill()
        started.process.wait()


@pytest.mark.slow
def test_it_runs_by_the_clock_and_by_hand_and_leaves_nothing_behind(schedule: Schedule) -> None:
    schedule.wait_for(lambda: "Ctrl-C ends it." in schedule.log.read_text())
    assert f"retrain/colours, every 5s, in {schedule.project.root}." in schedule.log.read_text()
    schedule.wait_for(lambda: bool(schedule.runs("COMPLETED")))
    assert schedule.runs("COMPLETED")[0]["state"]["message"] == "graft, colours: nothing to do"

    second = schedule.ask("--every", "5")
    assert second.returncode == 1
    assert f"at work for {schedule.project.root} already, as process {schedule.process.pid}." in second.stderr

    paused = schedule.ask("pause")
    assert (paused.returncode, paused.stderr) == (0, "")
    deployment = schedule.api("deployments/name/retrain/colours")
    assert deployment["paused"] is True
    assert deployment["path"] == str(schedule.project.root)

    assert deployment["global_concurrency_limit"]["limit"] == 1
    schedule.wait_for(lambda: not schedule.runs("RUNNING") and not schedule.runs("PENDING"))

    # As a run that was being executed when the machine went down.
    left = schedule.api(f"deployments/{deployment['id']}/create_flow_run", {"state": {"type": "RUNNING"}})
    refused = schedule.ask("run-now")
    assert refused.returncode == 1
    assert "A run of retrain/colours is under way: " in refused.stderr
    settle = (
        "from uuid import UUID; from graft.automation.schedule.deployments import mark_killed_runs; "
        f"mark_killed_runs(UUID('{deployment['id']}'))"
    )
    told = schedule.ask("env")
    assert f"export PREFECT_API_URL=http://127.0.0.1:{schedule.port}/api\n" in told.stdout
    assert schedule.with_variables(told.stdout, "-c", settle).returncode == 0
    assert schedule.api(f"flow_runs/{left['id']}")["state"]["type"] == "CRASHED"

    asked = schedule.ask("run-now", "--wait")
    assert asked.returncode == 0, asked.stdout + asked.stderr
    assert "Completed: graft, colours: nothing to do" in asked.stdout

    listed = schedule.ask("list")
    assert listed.returncode == 0, listed.stderr
    assert "retrain/colours  every 5s  paused" in listed.stdout
    assert "Retrainings of this project" in listed.stdout

    listed = schedule.with_variables(told.stdout, "-m", "prefect", "deployment", "ls")
    assert "retrain/colours" in listed.stdout, listed.stdout + listed.stderr

    family = psutil.Process(schedule.process.pid).children(recursive=True)
    assert family  # the server at least
    schedule.process.send_signal(signal.SIGTERM)
    assert schedule.process.wait(timeout=LIMIT_SECONDS) == 0
    assert schedule.log.read_text().rstrip().endswith("Ended.")
    assert not [one for one in family if one.is_running()]
    assert not (schedule.project.state / "prefect" / "server.json").exists()

    afterwards = schedule.ask("list")
    assert afterwards.returncode == 1
    assert "nothing to do" in afterwards.stdout
    assert "No Prefect server is at work for this project." in afterwards.stderr
