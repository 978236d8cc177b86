"""`graft schedule` in the foreground: a server where none runs, the deployment, its runs, and a clean end."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from graft.errors import GraftError, first_line
from graft.prefect_server import (
    HOST,
    adopt_server,
    answers,
    free_port,
    has_ended,
    port_is_free,
    running_server,
    start_server,
    stop_server,
    wait_until_ready,
)
from graft.project import Project
from graft.scheduling.when import When

USUAL_PORT = 4200  # Prefect's own
LOOK_SECONDS = 2.0
GONE_SECONDS = (
    20.0  # of no answer, after which a server counts as gone: busy ones take a few seconds at worst
)
MISSED_SECONDS = 10.0  # between looks for runs that have piled up
PLANNED_SECONDS = 120.0  # in which a server must have planned the first run; its scheduler looks every 60


class AlreadyAtWorkError(GraftError):
    """Another `graft schedule` is at work for this project."""


def run_service(
    project: Project, when: When, name: str, port: int | None, tell: Callable[[str], None]
) -> None:
    """Executes retrainings as ``when`` says, until SIGTERM, Ctrl-C or the end of the terminal.

    Args:
        project: to be retrained.
        when: the schedule.
        name: of the deployment.
        port: of a server that has to be started; None for Prefect's usual one, or any where that is taken.
        tell: takes a sentence for the person who looks on.

    Raises:
        GraftError: another one is at work; there can be no server, or it is gone.
    """
    from graft.scheduling import deployments
    from graft.scheduling.runner import RunnerThread

    os.chdir(project.root)  # where runs start
    with at_work(project) as note, _stopping() as stop, _server(project, port, stop) as (url, server):
        if stop.is_set():
            return
        deployments.check_place(project, name)
        runner = RunnerThread(f"graft {name}")
        try:
            deployment = runner.register(deployments.describe(project, name, when))
        except GraftError:
            raise
        except Exception as error:
            raise GraftError(
                f"Prefect's server at {url} does not take the deployment: {first_line(error)}", "See its log"
            ) from None
        deployments.tidy(deployment)
        note(url)
        found = deployments.find(name)
        tell(f"{found.name}, {when.words}, in {project.root}.")
        if found.paused:
            tell("It is paused: graft schedule resume.")
        tell(f"Prefect's pages: {deployments.page_of()}. Ctrl-C ends it.")
        runner.start()
        try:
            _watch(url, server, runner, deployment, stop)
        finally:
            if stop.is_set():
                tell("Ending; a run that is under way puts back what it has changed.")
            runner.stop()


@contextlib.contextmanager
def at_work(project: Project) -> Iterator[Callable[[str], None]]:
    """Keeps a second service for the same project out; yields a function that notes the server's address.

    Raises:
        AlreadyAtWorkError: one is at work, with its process id.
    """
    from filelock import FileLock, Timeout

    project.state.mkdir(parents=True, exist_ok=True)
    lock = FileLock(project.state / "schedule.lock", timeout=1)  # whoever asks holds it for an instant
    try:
        lock.acquire()
    except Timeout:
        found = _noted(project)
        pid = f", as process {found['pid']}" if "pid" in found else ""
        raise AlreadyAtWorkError(
            f"A schedule is at work for {project.root} already{pid}", "End it first, or leave it at work"
        ) from None
    try:
        _write(project, {"pid": os.getpid()})
        yield lambda url: _write(project, {"pid": os.getpid(), "url": url})
    finally:
        _note_file(project).unlink(missing_ok=True)
        lock.release()


def is_at_work(project: Project) -> bool:
    """Whether a service is at work for the project on this machine."""
    from filelock import FileLock, Timeout

    if not (project.state / "schedule.lock").exists():
        return False
    try:
        with FileLock(project.state / "schedule.lock", timeout=0):
            return False
    except Timeout:
        return True


def server_in_use(project: Project) -> str:
    """Address of the server that knows the project's schedule.

    Raises:
        GraftError: none answers.
    """
    url = os.environ.get("PREFECT_API_URL") or running_server(project, that_stays=True)
    if url and answers(url):
        return url
    what = (
        f"The Prefect server at {url} does not answer"
        if url
        else "No Prefect server is at work for this project"
    )
    raise GraftError(what, 'Start one: graft schedule --cron "0 3 * * *", or graft ui')


@contextlib.contextmanager
def _server(
    project: Project, port: int | None, stop: threading.Event
) -> Iterator[tuple[str, psutil.Process | None]]:
    """The address of a server that answers, and its process where it was started or adopted here."""
    named = os.environ.get("PREFECT_API_URL")
    if url := named or running_server(project, that_stays=True):
        os.environ["PREFECT_API_URL"] = url
        adopted = None if named else adopt_server(project)
        try:
            wait_until_ready(url)
            yield url, adopted
        finally:
            if adopted is not None:
                stop_server(project, adopted)
        return
    if port is not None and not port_is_free(port):
        raise GraftError(f"Port {port} on {HOST} is in use", "Name another with --prefect-port, or none")
    chosen = port or (USUAL_PORT if port_is_free(USUAL_PORT) else free_port())
    process, url = start_server(project, chosen)
    try:
        _wait_for(process, url, stop)
        os.environ["PREFECT_API_URL"] = url
        yield url, process
    finally:
        stop_server(project, process)


def _wait_for(process: psutil.Process, url: str, stop: threading.Event) -> None:
    while not stop.is_set():
        if has_ended(process):
            raise GraftError("Prefect's server did not start", "See .graft/state/prefect/server.log")
        with contextlib.suppress(GraftError):
            wait_until_ready(url, limit=LOOK_SECONDS)
            return


def _watch(
    url: str, server: psutil.Process | None, runner: object, deployment: str, stop: threading.Event
) -> None:
    """Returns when the service is asked to stop; raises GraftError where the server is gone."""
    from graft.scheduling.deployments import tidy
    from graft.scheduling.runner import RunnerThread

    assert isinstance(runner, RunnerThread)
    began = answered = looked = time.monotonic()
    planned = False
    while not stop.wait(LOOK_SECONDS):
        now = time.monotonic()
        if answers(url):
            answered = now
        ended = server is not None and has_ended(server)
        if ended or now - answered > GONE_SECONDS:
            raise GraftError(
                f"The Prefect server at {url} is gone, and with it the clock",
                "Start it, and this command, again; a run that was under way has put back what it had changed",
            )
        if not runner.is_alive:
            raise GraftError(f"Prefect's runner has ended: {runner.failure}", "Run the same command again")
        if answered == now and now - looked > MISSED_SECONDS:
            looked = now
            with contextlib.suppress(Exception):  # the next look is in ten seconds
                planned = tidy(deployment) or planned
        if not planned and now - began > PLANNED_SECONDS:
            raise GraftError(
                f"The Prefect server at {url} plans no runs: its scheduler does not work",
                "See its log, .graft/state/prefect/server.log. SQLAlchemy must be older than 2.1: make setup brings it",
            )


@contextlib.contextmanager
def _stopping() -> Iterator[threading.Event]:
    """An event that SIGTERM, Ctrl-C and the end of the terminal set, and nothing else happens then."""
    event = threading.Event()
    before = {}
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if number == signal.SIGHUP and signal.getsignal(number) != signal.SIG_DFL:
            continue  # nohup: the end of the terminal is to be ignored
        before[number] = signal.signal(number, lambda *_: event.set())
    try:
        yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _note_file(project: Project) -> Path:
    return project.state / "schedule.json"


def _write(project: Project, content: dict[str, object]) -> None:
    _note_file(project).write_text(json.dumps(content), encoding="utf-8")


def _noted(project: Project) -> dict[str, object]:
    try:
        content = json.loads(_note_file(project).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
