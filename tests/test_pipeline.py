"""The pipeline as a process that is ended from outside."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from graft.pipeline import reproduce
from graft.project import Project


class Ended(BaseException):
    """As Prefect makes one of SIGTERM."""


def test_what_was_started_goes_with_the_run(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prefect turns the signal into an exception, and the pipeline below must not train on for hours."""
    pid_file = tmp_path / "pid"
    stand_in = tmp_path / "python"
    stand_in.write_text(
        f'#!/bin/sh\nsleep 600 &\necho $! > "{pid_file}.new"\nmv "{pid_file}.new" "{pid_file}"\nwait\n'
    )
    stand_in.chmod(stand_in.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(sys, "executable", str(stand_in))
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    monkeypatch.setenv("GRAFT_WARM", "off")

    is_waiting = threading.Event()
    original = subprocess.Popen.wait

    def wait(self: subprocess.Popen[bytes], timeout: float | None = None) -> int:
        is_waiting.set()
        return original(self, timeout)

    monkeypatch.setattr(subprocess.Popen, "wait", wait)

    def end() -> None:
        is_waiting.wait()  # a process may run before it is known here
        while not pid_file.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGUSR1)

    def handler(*_: object) -> None:
        raise Ended

    before = signal.signal(signal.SIGUSR1, handler)
    sender = threading.Thread(target=end, daemon=True)
    try:
        sender.start()
        with pytest.raises(Ended):
            reproduce(project, [])
    finally:
        sender.join(10)  # the signal, should it come later, would end this process
        signal.signal(signal.SIGUSR1, before)
    assert not psutil.pid_exists(int(pid_file.read_text()))
