"""Finding and starting the shared Prefect server."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from graft.errors import GraftError
from graft.prefect_server import (
    HOST,
    answers,
    free_port,
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
    (tmp_path / ".graft" / "prefect").mkdir(parents=True)
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
    later = json.dumps({"url": "http://127.0.0.1:2/api", "pid": process.pid + 1})
    leave_record(project, later)
    stop_server(project, process)
    assert (project.state / "prefect" / "server.json").read_text() == later


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
    assert record == {"url": url, "pid": process.pid, "services": True}
    assert (project.state / "prefect" / "server.log").exists()
