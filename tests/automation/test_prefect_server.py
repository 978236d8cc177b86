"""Finding, believing, starting and ending the shared Prefect server."""

import json
import os
import socket
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest
from stand_in_for_prefect import StandIn

from graft.automation import prefect_server
from graft.automation.prefect_process import is_own
from graft.automation.prefect_server import (
    HOST,
    PASSWORD,
    URL,
    PrefectServer,
    adopt_server,
    free_port,
    has_ended,
    listens,
    log_file,
    port_is_free,
    require_server,
    running_server,
    shared_server,
    start_server,
    stop_server,
    use_server,
    wait_until_ready,
)
from graft.core.errors import GraftError
from graft.core.lock import LockedError
from graft.core.project import Project


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setattr(os, "environ", {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")})
    project = Project(tmp_path / "project")
    project.prefect.mkdir(parents=True)
    return project


@pytest.fixture
def stand_in(project: Project, tmp_path: Path) -> Iterator[StandIn]:
    started = StandIn(project, tmp_path)
    yield started
    if not has_ended(started.process):
        started.process.kill()
        started.process.wait()


@pytest.fixture
def sleeper() -> Iterator[psutil.Popen]:
    """A process that listens nowhere."""
    process = psutil.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield process
    process.kill()
    process.wait()


def leave_record(project: Project, text: str) -> None:
    (project.prefect / "server.json").write_text(text)


def url_of(server: PrefectServer | None) -> str | None:
    return server.url if server else None


def test_a_port_in_use_is_not_free() -> None:
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        listener.listen()
        port = listener.getsockname()[1]
        assert not port_is_free(port)
        assert listens(psutil.Process(), port)
    assert port_is_free(port)
    assert not listens(psutil.Process(), port)


def test_a_free_port_can_be_listened_on() -> None:
    with socket.socket() as listener:
        listener.bind((HOST, free_port()))


def test_without_a_record_there_is_no_server(project: Project) -> None:
    assert running_server(project) is None


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"url": 3}', '{"server": {"pid": "x"}, "starter": 1}', '{"server": 3}']
)
def test_a_damaged_record_counts_for_nothing(project: Project, text: str) -> None:
    leave_record(project, text)
    assert running_server(project) is None
    assert adopt_server(project) is None


def test_a_running_server_is_found_and_used(stand_in: StandIn) -> None:
    stand_in.leave_record()
    expected = {URL: stand_in.url, PASSWORD: stand_in.password}
    found = running_server(stand_in.project)
    assert found is not None
    assert found.environment == expected
    with shared_server(stand_in.project) as environment:
        assert environment == expected
    assert not has_ended(stand_in.process)  # its starter lives
    use_server(stand_in.project)
    assert {name: os.environ[name] for name in expected} == expected


def test_a9_whatever_else_answers_at_the_port_is_no_server_and_learns_no_password(
    stand_in: StandIn, sleeper: psutil.Popen
) -> None:
    """The process of the record lives, and another one has its port."""
    stand_in.leave_record(sleeper)
    assert running_server(stand_in.project) is None
    with pytest.raises(GraftError, match="did not answer within 0 s"):
        wait_until_ready(stand_in.project, PrefectServer(stand_in.url, stand_in.password, sleeper, True), limit=0.2)
    os.environ.update({URL: stand_in.url, PASSWORD: stand_in.password})
    stand_in.leave_record(sleeper, age=100)
    with pytest.raises(GraftError, match="has ended"):
        require_server(stand_in.project)
    assert stand_in.requests.read_text() == ""


def test_a9_a_number_that_another_process_has_got_since_is_no_server(stand_in: StandIn) -> None:
    stand_in.leave_record(age=100)
    assert running_server(stand_in.project) is None
    assert stand_in.requests.read_text() == ""


def test_a9_a_dead_process_is_no_server(stand_in: StandIn) -> None:
    stand_in.leave_record()
    stand_in.process.kill()  # and not waited for: a zombie has a number too
    while not has_ended(stand_in.process):
        time.sleep(0.01)
    assert running_server(stand_in.project) is None


def test_a9_a_server_that_does_not_know_the_projects_secret_is_none(stand_in: StandIn) -> None:
    stand_in.leave_record(start="another")
    assert running_server(stand_in.project) is None
    assert "/api/admin/version" in stand_in.requests.read_text()


def test_d2_a_server_on_loopback_is_asked_without_a_proxy(stand_in: StandIn) -> None:
    stand_in.leave_record()
    os.environ["http_proxy"] = f"http://{HOST}:{free_port()}"
    assert url_of(running_server(stand_in.project)) == stand_in.url


def test_the_server_that_the_user_names_wins(stand_in: StandIn) -> None:
    stand_in.leave_record()
    os.environ[URL] = "http://127.0.0.1:9/api"
    use_server(stand_in.project)
    with shared_server(stand_in.project) as environment:
        assert environment == {URL: "http://127.0.0.1:9/api"}
    assert PASSWORD not in os.environ
    os.environ[PASSWORD] = "theirs"
    use_server(stand_in.project)
    assert os.environ[PASSWORD] == "theirs"


@pytest.mark.parametrize("stated", [{}, {PASSWORD: "graft:of-yesterday"}])
def test_a1_the_projects_own_server_named_by_the_user_gets_its_password(
    stand_in: StandIn, stated: dict[str, str]
) -> None:
    stand_in.leave_record()
    os.environ |= {URL: stand_in.url, **stated}
    with shared_server(stand_in.project) as environment:
        assert environment == {URL: stand_in.url, PASSWORD: stand_in.password}


def test_a1_a_flows_own_temporary_server_has_a_password_too(project: Project) -> None:
    use_server(project)
    assert URL not in os.environ
    assert os.environ["PREFECT_SERVER_API_AUTH_STRING"] == os.environ[PASSWORD] != ""
    assert os.environ["PREFECT_SERVER_CORS_ALLOWED_ORIGINS"] == f"http://{HOST}"


def test_a_server_that_ends_with_its_pipeline_runs_no_schedules(stand_in: StandIn) -> None:
    stand_in.leave_record(stays=False)
    assert url_of(running_server(stand_in.project)) == stand_in.url
    assert running_server(stand_in.project, that_stays=True) is None
    stand_in.leave_record()
    assert url_of(running_server(stand_in.project, that_stays=True)) == stand_in.url


def test_the_server_of_one_that_was_killed_ends_with_the_next(stand_in: StandIn) -> None:
    # A starter of another time is another process that has got its number since.
    stand_in.leave_record(starter_age=100)
    with shared_server(stand_in.project) as environment:
        assert environment[URL] == stand_in.url
        assert not has_ended(stand_in.process)
        assert adopt_server(stand_in.project) is None  # it is this process's now
    assert has_ended(stand_in.process)
    assert running_server(stand_in.project) is None


def test_l13_two_that_take_over_at_once_do_not_both_get_it(stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in.leave_record(starter_age=100)
    really, second = prefect_server._living, []

    def living(process: Any) -> Any:
        found = really(process)
        if not second and found is None:  # between the look and the note of the first
            second.append(None)
            with pytest.raises(LockedError):
                adopt_server(stand_in.project, wait_seconds=0)
        return found

    monkeypatch.setattr(prefect_server, "_living", living)
    assert adopt_server(stand_in.project) is not None
    assert second == [None]


@pytest.fixture
def started(project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[PrefectServer]:
    """A server whose process writes its arguments and environment down, and ends."""
    stub = tmp_path / "stub"
    stub.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/arguments\nenv > {tmp_path}/environment\n')
    stub.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(stub))
    server = start_server(project, port=1)
    server.process.wait(timeout=30)
    yield server
    stop_server(project, server)


def test_a1_a_server_is_started_with_a_password_and_its_own_origin(
    project: Project, started: PrefectServer, tmp_path: Path
) -> None:
    environment = (tmp_path / "environment").read_text().splitlines()
    assert f"PREFECT_SERVER_API_AUTH_STRING={started.password}" in environment
    assert f"PREFECT_API_AUTH_STRING={started.password}" in environment
    assert f"PREFECT_SERVER_CORS_ALLOWED_ORIGINS=http://{HOST}:1" in environment
    # What other accounts can read, and what lies on the disk, says nothing of it.
    assert started.password not in (tmp_path / "arguments").read_text()
    record = project.prefect / "server.json"
    assert started.password not in record.read_text()
    assert record.stat().st_mode & 0o777 == 0o600


def test_a1_each_start_has_another_password(project: Project, started: PrefectServer) -> None:
    again = start_server(project, port=1)
    assert again.password != started.password
    stop_server(project, again)


def test_starting_leaves_the_record_and_the_log(project: Project, started: PrefectServer) -> None:
    assert started.url == f"http://{HOST}:1/api"
    record = json.loads((project.prefect / "server.json").read_text())
    assert (record["url"], record["server"]["pid"], record["stays"]) == (started.url, started.process.pid, True)
    assert record["starter"]["pid"] == os.getpid()
    assert log_file(project).exists()


def test_ending_a_server_leaves_the_record_of_another(project: Project, started: PrefectServer) -> None:
    later = json.dumps({"url": "http://127.0.0.1:2/api", "server": {"pid": 1, "created": 1.0}})
    leave_record(project, later)
    stop_server(project, started)
    assert (project.prefect / "server.json").read_text() == later


def test_d2_a_server_that_has_ended_is_not_waited_for(project: Project, started: PrefectServer) -> None:
    os.environ.update(started.environment)
    for ask in (lambda: wait_until_ready(project, started), lambda: require_server(project)):
        with pytest.raises(GraftError, match="has ended") as refused:
            ask()
        assert str(log_file(project)) not in str(refused.value)  # it is empty
    log_file(project).write_text("Port 1 is already in use.\n")
    with pytest.raises(GraftError, match="has ended") as refused:
        require_server(project)
    assert str(log_file(project)) in refused.value.fix


def test_without_a_server_nothing_is_required(project: Project) -> None:
    require_server(project)


@pytest.mark.slow
def test_a_shared_server_lives_as_long_as_the_block(
    project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(os.environ, "PREFECT_HOME", str(project.prefect))
    monkeypatch.setitem(os.environ, "GRAFT_CACHE", str(tmp_path / "cache"))
    with shared_server(project) as environment:
        os.environ.update(environment)
        require_server(project)
        found = running_server(project)
        assert found is not None
        assert found.environment == environment
        with shared_server(project) as again:
            assert again == environment
    assert has_ended(found.process)
    assert running_server(project) is None
    assert not (project.prefect / "server.json").exists()

    # The next new project has its tables from the first one's, and nothing else.
    (template,) = (tmp_path / "cache/prefect").iterdir()
    assert is_own(template)
    with closing(sqlite3.connect(template)) as tables:
        names = [name for (name,) in tables.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        filled = [name for name in names if tables.execute(f'SELECT 1 FROM "{name}"').fetchone()]
    assert "flow_run" in names
    assert filled == ["alembic_version"]
    made = template.stat().st_mtime_ns
    other = Project(tmp_path / "other")
    monkeypatch.setitem(os.environ, "PREFECT_HOME", str(other.prefect))
    for name in (URL, PASSWORD):
        monkeypatch.delitem(os.environ, name)
    with shared_server(other) as environment:
        os.environ.update(environment)
        require_server(other)
    assert template.stat().st_mtime_ns == made
