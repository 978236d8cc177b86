"""Finding and starting the shared Prefect server."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest

from graft.errors import GraftError
from graft.prefect_server import (
    HOST,
    adopt_server,
    answers,
    free_port,
    has_ended,
    port_is_free,
    running_server,
    shared_server,
    start_server,
    stop_server,
    use_running_server,
    wait_until_ready,
)
from graft.project import Project


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    (tmp_path / ".graft" / "state" / "prefect").mkdir(parents=True)
    return Project(tmp_path)


@pytest.fixture
def healthy_url() -> Iterator[str]:
    """The address of a server that answers as Prefect's health check does."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/api/health" else 404)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer((HOST, 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://{HOST}:{server.server_address[1]}/api"
    server.shutdown()
    server.server_close()


def leave_record(project: Project, text: str) -> None:
    (project.state / "prefect" / "server.json").write_text(text)


def test_a_port_in_use_is_not_free() -> None:
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        listener.listen()
        port = listener.getsockname()[1]
        assert not port_is_free(port)
    assert port_is_free(port)


def test_a_free_port_can_be_listened_on() -> None:
    with socket.socket() as listener:
        listener.bind((HOST, free_port()))


def test_without_a_record_there_is_no_server(project: Project) -> None:
    assert running_server(project) is None


def test_the_record_of_a_dead_server_counts_for_nothing(project: Project) -> None:
    leave_record(project, json.dumps({"url": f"http://{HOST}:{free_port()}/api", "pid": 1}))
    assert running_server(project) is None


@pytest.mark.parametrize("text", ["", "{", "{}", '{"url": 3}', '{"url": "not an address"}'])
def test_a_damaged_record_counts_for_nothing(project: Project, text: str) -> None:
    leave_record(project, text)
    assert running_server(project) is None


def test_a_running_server_is_found_and_used(
    project: Project, healthy_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_record(project, json.dumps({"url": healthy_url}))
    assert running_server(project) == healthy_url
    monkeypatch.setattr(os, "environ", dict(os.environ))
    use_running_server(project)
    assert os.environ["PREFECT_API_URL"] == healthy_url
    with shared_server(project) as url:
        assert url == healthy_url


def test_the_server_that_the_user_names_wins(
    project: Project, healthy_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_record(project, json.dumps({"url": healthy_url}))
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:4200/api")
    use_running_server(project)
    assert os.environ["PREFECT_API_URL"] == "http://127.0.0.1:4200/api"
    with shared_server(project) as url:
        assert url == "http://127.0.0.1:4200/api"


def test_a_server_that_ends_with_its_pipeline_runs_no_schedules(project: Project, healthy_url: str) -> None:
    leave_record(project, json.dumps({"url": healthy_url, "pid": 1, "services": False}))
    assert running_server(project) == healthy_url
    assert running_server(project, that_stays=True) is None
    leave_record(project, json.dumps({"url": healthy_url, "pid": 1, "services": True}))
    assert running_server(project, that_stays=True) == healthy_url


def test_ending_a_server_leaves_the_address_of_another(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    process, _ = start_server(project, port=1)
    later = json.dumps({"url": "http://127.0.0.1:2/api", "server": {"pid": process.pid + 1, "created": 1.0}})
    leave_record(project, later)
    stop_server(project, process)
    assert (project.state / "prefect" / "server.json").read_text() == later


@pytest.fixture
def sleeper() -> Iterator[psutil.Popen]:
    """A process that stands for a server."""
    process = psutil.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield process
    if not has_ended(process):
        process.kill()
        process.wait()


def record_of(url: str, server: psutil.Process, starter: psutil.Process, age: float = 0) -> str:
    def identity(process: psutil.Process) -> dict[str, float]:
        return {"pid": process.pid, "created": process.create_time()}

    # A starter of another time is another process that has got its number since.
    started = {**identity(starter), "created": starter.create_time() - age}
    return json.dumps({"url": url, "services": True, "server": identity(server), "starter": started})


def test_the_server_of_one_that_was_killed_ends_with_the_next(
    project: Project, healthy_url: str, sleeper: psutil.Popen
) -> None:
    leave_record(project, record_of(healthy_url, sleeper, psutil.Process(), age=100))
    with shared_server(project) as url:
        assert url == healthy_url
        assert not has_ended(sleeper)
        assert adopt_server(project) is None  # it is this process's now
    assert has_ended(sleeper)
    assert running_server(project) is None


def test_the_server_of_one_that_lives_is_left_to_it(
    project: Project, healthy_url: str, sleeper: psutil.Popen
) -> None:
    leave_record(project, record_of(healthy_url, sleeper, psutil.Process()))
    with shared_server(project) as url:
        assert url == healthy_url
    assert not has_ended(sleeper)
    assert running_server(project) == healthy_url


@pytest.mark.parametrize("text", ['{"server": 3}', '{"server": {"pid": "x"}, "starter": 1}', "[]", "{"])
def test_nothing_is_adopted_of_a_record_that_says_nothing(project: Project, text: str) -> None:
    leave_record(project, text)
    assert adopt_server(project) is None


def test_something_else_on_the_port_is_no_server(healthy_url: str) -> None:
    assert answers(healthy_url)
    assert not answers(healthy_url.removesuffix("/api"))


def test_waiting_for_a_server_that_does_not_come_ends() -> None:
    with pytest.raises(GraftError, match=r"did not answer within 0 s.*server.log"):
        wait_until_ready(f"http://{HOST}:{free_port()}/api", limit=0.2)


@pytest.mark.slow
def test_a_shared_server_lives_as_long_as_the_block(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(project.state / "prefect"))
    with shared_server(project) as url:
        wait_until_ready(url)
        assert running_server(project) == url
        with shared_server(project) as again:
            assert again == url
    assert not answers(url)
    assert running_server(project) is None
    assert not (project.state / "prefect" / "server.json").exists()


def test_starting_hands_the_log_and_the_address_over(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A server that ends at once, as one does whose port was taken in between.
    monkeypatch.setattr("sys.executable", "/bin/false")
    process, url = start_server(project, port=1)
    assert process.wait(timeout=10) == 1
    assert url == f"http://{HOST}:1/api"
    record = json.loads((project.state / "prefect" / "server.json").read_text())
    assert (record["url"], record["server"]["pid"], record["services"]) == (url, process.pid, True)
    assert record["starter"]["pid"] == os.getpid()
    assert (project.state / "prefect" / "server.log").exists()
