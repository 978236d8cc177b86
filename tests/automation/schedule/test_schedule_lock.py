"""One schedule for a project, and a server that is found or missed."""

import os
from collections.abc import Callable

import pytest

from graft.automation.prefect_server import HOST, free_port
from graft.automation.schedule.service import at_work, is_at_work, run_service, server_in_use
from graft.automation.schedule.when import When
from graft.core.errors import GraftError
from graft.core.lock import LockedError
from graft.core.project import Project


@pytest.fixture(autouse=True)
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")})


def test_a_second_one_is_told_of_the_first(project: Project) -> None:
    assert not is_at_work(project)
    with at_work(project):
        assert is_at_work(project)
        with pytest.raises(LockedError, match=rf"at work for .* already, as process {os.getpid()}\."), at_work(project):
            pass
    assert not is_at_work(project)
    assert not (project.state / "schedule.pid").exists()


def test_the_lock_goes_with_what_held_it(project: Project) -> None:
    with pytest.raises(ZeroDivisionError), at_work(project):
        raise ZeroDivisionError
    with at_work(project):
        assert is_at_work(project)


def test_without_a_server_it_is_said_how_to_start_one(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(GraftError, match=r"No Prefect server is at work.*graft schedule --cron"):
        server_in_use(project)
    url = f"http://{HOST}:{free_port()}/api"
    monkeypatch.setitem(os.environ, "PREFECT_API_URL", url)
    with pytest.raises(GraftError, match=rf"The Prefect server at {url}, .* cannot be reached"):
        server_in_use(project)


def test_a_taken_port_is_refused_before_anything_starts(
    project: Project, monkeypatch: pytest.MonkeyPatch, listening_port: int, said: Callable[[str], None]
) -> None:
    monkeypatch.chdir(project.root)
    with pytest.raises(GraftError, match=rf"Port {listening_port} on {HOST} is in use"):
        run_service(project, When("0 3 * * *", 0, "UTC"), "tints", listening_port, said)
    assert not project.prefect.exists()
    assert not is_at_work(project)


@pytest.fixture
def said() -> Callable[[str], None]:
    def fail(sentence: str) -> None:
        raise AssertionError(sentence)

    return fail


@pytest.fixture
def listening_port() -> object:
    import socket

    with socket.socket() as listener:
        listener.bind((HOST, 0))
        listener.listen()
        yield listener.getsockname()[1]
