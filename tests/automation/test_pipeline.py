"""The pipeline as a process that is ended from outside, and stages that are."""

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from graft.automation import run_pipeline
from graft.core.errors import GraftError
from graft.core.files import write_file
from graft.core.git import run_git
from graft.core.project import Project

# Runs the pipeline with a stand-in for Python, and says on its output when it waits for it and when it was ended.
RUN = """
import signal, subprocess, sys
from pathlib import Path
from graft.automation.run_pipeline import reproduce
from graft.core.project import Project

class Ended(BaseException):
    'As Prefect makes one of SIGTERM.'

def handler(*_):
    raise Ended

wait = subprocess.Popen.wait

def noted(self, timeout=None):
    print("waiting", flush=True)
    return wait(self, timeout)

subprocess.Popen.wait = noted
sys.executable = sys.argv[2]
signal.signal(signal.SIGUSR1, handler)
try:
    reproduce(Project(Path(sys.argv[1])), [])
except Ended:
    print("ended", flush=True)
"""


def test_what_was_started_goes_with_the_run(project: Project, tmp_path: Path) -> None:
    """Prefect turns the signal into an exception, and the pipeline below must not train on for hours."""
    pid_file = tmp_path / "pid"
    stand_in = tmp_path / "python"
    stand_in.write_text(f'#!/bin/sh\nsleep 600 &\necho $! > "{pid_file}.new"\nmv "{pid_file}.new" "{pid_file}"\nwait\n')
    stand_in.chmod(stand_in.stat().st_mode | stat.S_IXUSR)
    environment = {**os.environ, "PREFECT_API_URL": "http://127.0.0.1:9/api", "GRAFT_WARM": "off"}
    # A process of its own: a signal that comes late would end the one that runs the tests.
    with subprocess.Popen(
        [sys.executable, "-c", RUN, str(project.root), str(stand_in)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "waiting\n"  # a process may run before it is known there
        while not pid_file.exists():
            assert run.poll() is None
            time.sleep(0.01)
        run.send_signal(signal.SIGUSR1)
        output, _ = run.communicate(timeout=120)
    assert output.splitlines()[-1] == "ended"
    assert run.returncode == 0
    assert not psutil.pid_exists(int(pid_file.read_text()))


def test_case_13_a_run_stops_before_anything_starts_where_git_refuses(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_git(project.root, "init", "--quiet")
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    monkeypatch.setattr(run_pipeline, "shared_server", None)
    with pytest.raises(GraftError, match="belongs to another user.*safe.directory"):
        run_pipeline.reproduce(project, [])


PYTHON = sys.executable
# Stands in for DVC, whose stage it is: says that it is at work, and ends as its second argument says.
STAGE = """
import os, sys
from pathlib import Path
from graft.automation.killed_stages import at_work
from graft.core.project import Project
if os.fork() == 0:
    with at_work(Project(Path.cwd()), "train@fine_tune"):
        if {ends!r} == "killed":
            os.kill(os.getpid(), 9)
        sys.exit(1)
os.wait()
sys.exit(255)
"""


def stopped_by(ends: str, project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    stand_in = tmp_path / "python"
    stand_in.write_text(f"#!{PYTHON}\n{STAGE.format(ends=ends)}")
    stand_in.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(stand_in))
    with pytest.raises(GraftError) as stopped:
        run_pipeline._run_dvc(project, [], os.environ, None)
    assert not list((project.state / "running").iterdir())
    return str(stopped.value)


def test_case_21_a_stage_that_was_killed_says_so_and_what_to_lower(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_file(project.state / "running" / "999999999", "train@scratch")  # of a run before, without `graft run`
    monkeypatch.setattr("graft.automation.killed_stages.memory_limit", lambda: 2 << 30)
    text = stopped_by("killed", project, tmp_path, monkeypatch)
    assert "Stage train@fine_tune was ended from outside or crashed; where DVC names the code -9" in text
    assert "(2.0 GiB of memory, " in text
    assert "Lower batch_size or image_size of that strategy in params.yaml, or give it more memory" in text
    kills = iter([3, 4])
    monkeypatch.setattr(run_pipeline, "memory_kills", lambda: next(kills))
    text = stopped_by("killed", project, tmp_path, monkeypatch)
    assert text.startswith("Stage train@fine_tune was killed because memory ran out (2.0 GiB")


def test_case_21_a_stage_that_ended_by_itself_was_not_killed(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = stopped_by("itself", project, tmp_path, monkeypatch)
    assert text.startswith("The pipeline stopped at the stage named above")


def test_a_run_within_a_block_of_services_starts_none_again(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server of the block may still be starting, and does not answer yet."""
    monkeypatch.setattr(run_pipeline, "shared_server", None)
    monkeypatch.setattr(run_pipeline, "warm_stages", None)
    with run_pipeline.stage_services(project, {"PREFECT_API_URL": "http://127.0.0.1:9/api"}) as of_stages:
        assert of_stages["PREFECT_API_URL"] == "http://127.0.0.1:9/api"
