"""`graft schedule` in the foreground: a server where none runs, the deployment, Prefect's runner, and a clean end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from graft.automation.prefect_server import (
    URL,
    PrefectServer,
    adopt_server,
    free_port,
    has_ended,
    port_is_free,
    require_server,
    running_server,
    start_server,
    stop_server,
    wait_until_ready,
)
from graft.automation.schedule.when import When
from graft.core.errors import GraftError, first_line
from graft.core.files import write_file
from graft.core.lock import LockedError, locked
from graft.core.loopback import HOST
from graft.core.processes import end_tree
from graft.core.project import Project

if TYPE_CHECKING:
    from prefect.runner import Runner

USUAL_PORT = 4200  # Prefect's own
POLL_SECONDS = 5.0  # between questions for runs that are due
LOOK_SECONDS = 2.0
# Of no answer, after which a server counts as gone: busy ones take a few seconds at worst.
GONE_SECONDS = 20.0


def run_service(project: Project, when: When, name: str, port: int | None, report: Callable[[str], None]) -> None:
    """Execute retrainings as ``when`` says, until SIGTERM, Ctrl-C or the end of the terminal.

    Args:
        port: of a server that has to be started; None for Prefect's usual one, or any where that is taken.
        report: takes a sentence for the person who looks on.

    Raises:
        GraftError: another one is at work; there can be no server, or it is gone.
    """
    stops = [signal.SIGTERM, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:  # else nohup: the end of the terminal is to be ignored
        stops.append(signal.SIGHUP)
    for number in stops:
        signal.signal(number, signal.default_int_handler)
    os.chdir(project.root)  # where runs start
    with contextlib.suppress(KeyboardInterrupt), at_work(project), _server(project, port) as mine:
        runner = _register(project, when, name, report)
        asyncio.run(_serve(runner, mine, stops, report))


@contextlib.contextmanager
def at_work(project: Project) -> Iterator[None]:
    """Keep a second service for the same project out.

    Raises:
        LockedError: one is at work, with its process id.
    """
    busy = f"A schedule is at work for {project.root} already{_noted_process(project)}"
    # Whoever asks whether one is at work holds the lock for an instant.
    with locked(_lock(project), busy, "End it first, or leave it at work", wait_seconds=1):
        write_file(_note(project), str(os.getpid()))
        try:
            yield
        finally:
            _note(project).unlink(missing_ok=True)


def is_at_work(project: Project) -> bool:
    """Return whether a service is at work for the project on this machine."""
    if not _lock(project).exists():
        return False
    try:
        with locked(_lock(project), ""):
            return False
    except LockedError:
        return True


def server_in_use(project: Project) -> PrefectServer | None:
    """Point this process at the server that knows the project's schedule; return it where graft has started it.

    Raises:
        GraftError: none answers.
    """
    own = running_server(project, that_stays=True)
    if URL not in os.environ:
        if own is None:
            fix = 'Start one: graft schedule --cron "0 3 * * *", or graft ui'
            raise GraftError("No Prefect server is at work for this project", fix)
        os.environ.update(own.environment)
    elif own is not None and own.url == os.environ[URL]:
        os.environ |= own.environment
    require_server(project)
    return own if own is not None and own.url == os.environ[URL] else None


def _register(project: Project, when: When, name: str, report: Callable[[str], None]) -> Runner:
    """Return Prefect's runner for the deployment, which is made or brought up to date."""
    from prefect.runner import Runner

    from graft.automation.schedule import deployments

    deployments.check_place(project, name)
    deployment = deployments.describe(project, name, when)
    # No limit of its own: that of the deployment is to call off what comes while a run is under way.
    runner = Runner(
        name=f"graft {name}", limit=None, pause_on_shutdown=False, query_seconds=POLL_SECONDS, prefetch_seconds=0
    )
    try:
        deployments.mark_killed_runs(runner.add_deployment(deployment))
    except Exception as error:
        url = os.environ[URL]
        raise GraftError(
            f"Prefect's server at {url} does not take the deployment: {first_line(error)}", "See its log"
        ) from None
    found = deployments.find(name)
    report(f"{deployments.FLOW}/{name}, {when.words}, in {project.root}.")
    if found.paused:
        report("It is paused: graft schedule resume.")
    report(f"Prefect's pages: {deployments.page_of()}; `graft ui` says their password. Ctrl-C ends it.")
    return runner


async def _serve(
    runner: Runner, mine: PrefectServer | None, stops: list[signal.Signals], report: Callable[[str], None]
) -> None:
    """Execute runs until one of ``stops`` comes; raise GraftError where Prefect's server or runner ends before."""
    asked = asyncio.Event()
    serving = asyncio.create_task(runner.start())
    await asyncio.sleep(0)
    # After Prefect's own handler of SIGTERM, which blocks the loop that would notice the end of a run's process, and
    # then kills that.
    loop = asyncio.get_running_loop()
    for number in stops:
        loop.add_signal_handler(number, asked.set)
    waiting, watching = asyncio.create_task(asked.wait()), asyncio.create_task(_until_gone(mine))
    try:
        await asyncio.wait([serving, waiting, watching], return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            error = serving.exception()
            said = f": {first_line(error)}" if error else ""
            raise GraftError(f"Prefect's runner has ended{said}", "Run the same command again")
        if not asked.is_set():
            raise GraftError(
                f"The Prefect server at {os.environ[URL]} is gone, and with it the clock",
                "Start it, and this command, again",
            )
        report("Ending, with a run that is under way.")
        if runner.started:
            await runner.astop()  # asks the processes of runs to end, and waits
            await serving
    finally:
        for child in psutil.Process().children():
            if mine is None or child.pid != mine.process.pid:
                end_tree(child.pid)
        for task in (serving, waiting, watching):
            task.cancel()
        await asyncio.gather(serving, waiting, watching, return_exceptions=True)


async def _until_gone(mine: PrefectServer | None) -> None:
    """Return where Prefect's server has ended, or has not answered for ``GONE_SECONDS``."""
    from prefect.client.orchestration import get_client

    answered = time.monotonic()
    async with get_client() as client:
        while time.monotonic() - answered < GONE_SECONDS:
            await asyncio.sleep(LOOK_SECONDS)
            if mine is not None and has_ended(mine.process):
                return
            with contextlib.suppress(TimeoutError):
                if await asyncio.wait_for(client.api_healthcheck(), GONE_SECONDS / 2) is None:
                    answered = time.monotonic()


@contextlib.contextmanager
def _server(project: Project, port: int | None) -> Iterator[PrefectServer | None]:
    """Point this process at a server that answers; yield it where it is this process's to end."""
    if URL in os.environ:
        server_in_use(project)
        yield None
        return
    server = running_server(project, that_stays=True)
    if server is not None:
        mine = adopt_server(project)
    else:
        if port is not None and not port_is_free(port):
            raise GraftError(f"Port {port} on {HOST} is in use", "Name another with --prefect-port, or none")
        chosen = port or (USUAL_PORT if port_is_free(USUAL_PORT) else free_port())
        server = mine = start_server(project, chosen)
    os.environ.update(server.environment)
    try:
        wait_until_ready(project, server)
        yield mine
    finally:
        if mine is not None:
            stop_server(project, mine)


def _lock(project: Project) -> Path:
    return project.state / "schedule.lock"


def _note(project: Project) -> Path:
    """Return where the number of the process lies that holds the lock."""
    return project.state / "schedule.pid"


def _noted_process(project: Project) -> str:
    try:
        return f", as process {int(_note(project).read_text())}"
    except (OSError, ValueError):
        return ""
