"""The pipeline as a process that is ended from outside."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import psutil

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
