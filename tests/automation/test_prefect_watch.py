"""A flow ends with its Prefect server, in seconds and with one sentence."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from stand_in_for_prefect import StandIn

from graft.automation.prefect_server import PASSWORD, URL, has_ended
from graft.automation.prefect_watch import required_server
from graft.core.errors import GraftError
from graft.core.project import Project

# A block that takes no notice of Ctrl-C, as a client that tries again and again.
STUBBORN = """
import sys, time
from pathlib import Path
from graft.automation import prefect_watch
from graft.core.project import Project
prefect_watch.GRACE_SECONDS = 0.2
with prefect_watch.required_server(Project(Path(sys.argv[1]))):
    print("at work", flush=True)
    while True:
        try: time.sleep(60)
        except KeyboardInterrupt: print("interrupted", flush=True)
"""


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    project = Project(tmp_path / "project")
    project.prefect.mkdir(parents=True)
    started = StandIn(project, tmp_path)
    started.leave_record()
    monkeypatch.setenv(URL, started.url)
    monkeypatch.setenv(PASSWORD, started.password)
    yield started
    if not has_ended(started.process):
        started.process.kill()
        started.process.wait()


def test_d2_a_block_ends_with_the_server(stand_in: StandIn) -> None:
    with pytest.raises(GraftError, match=r"^Prefect's server has ended") as ended, required_server(stand_in.project):
        stand_in.process.kill()
        time.sleep(120)
    assert ".log" not in str(ended.value)  # there is none


def test_d2_a_block_that_does_not_end_is_ended(stand_in: StandIn) -> None:
    command = [sys.executable, "-c", STUBBORN, str(stand_in.project.root)]
    block = psutil.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert block.stdout.readline() == "at work\n"
    stand_in.process.kill()
    said, complained = block.communicate(timeout=120)
    assert (block.returncode, said) == (1, "interrupted\n")
    assert complained.startswith("\nPrefect's server has ended, and with it this run. Run the same command again")


def test_a_block_is_left_alone_while_the_server_lives(stand_in: StandIn) -> None:
    with required_server(stand_in.project):
        pass
    with pytest.raises(KeyboardInterrupt), required_server(stand_in.project):
        raise KeyboardInterrupt
    with pytest.raises(ZeroDivisionError), required_server(stand_in.project):
        raise ZeroDivisionError


def test_without_a_server_nothing_is_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(URL, raising=False)
    with required_server(Project(tmp_path)):
        assert URL not in os.environ


def test_d2_a_server_that_no_longer_answers_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import httpx

    monkeypatch.delenv(URL, raising=False)
    expected = pytest.raises(GraftError, match="no longer answers: All connection attempts failed")
    with expected, required_server(Project(tmp_path)):
        raise httpx.ConnectError("All connection attempts failed")
