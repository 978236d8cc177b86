"""Prefect's runner in a thread of its own, which executes the runs of one deployment and can be ended in order.

Prefect's own handler of SIGTERM is of no use here: it blocks the loop that would notice the end of the run's process,
and kills that after 30 seconds, in the middle of taking back what it had changed. In a thread, Prefect installs none;
the main thread decides, and waits for as long as taking back may take.
"""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from functools import cache
from typing import Any

import psutil

from graft.errors import first_line
from graft.processes import end

# How long the process of a run may take to put everything back after SIGTERM. DVC links files, so that data/ of
# 100,000 images is back within a minute or two; what is killed later is taken back by the next run.
PATIENCE_SECONDS = 300.0
POLL_SECONDS = 5.0  # between questions for runs that are due
_JOIN_SECONDS = 60.0


class RunnerThread:
    """Executes runs of a deployment, one at a time, until it is stopped or Prefect's server is gone.

    Attributes:
        failure: why it ended by itself, ``""`` where it did not.
    """

    def __init__(self, name: str) -> None:
        self.failure = ""
        self._runner: Any = _runner_class()(
            name=name, limit=1, pause_on_shutdown=False, query_seconds=POLL_SECONDS
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._work, name="runner", daemon=True)

    def register(self, deployment: Any) -> str:
        """Makes or updates the deployment whose runs are executed; returns Prefect's id of it."""
        return str(self._runner.add_deployment(deployment))

    def start(self) -> None:
        """Begins to ask for runs."""
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def stop(self) -> None:
        """Ends the run under way, waits until it has put things back, and ends the thread."""
        loop = self._loop
        if self.is_alive and loop is not None and self._runner.started:
            asyncio.run_coroutine_threadsafe(self._runner.astop(), loop)
            self._thread.join(PATIENCE_SECONDS + _JOIN_SECONDS)
        end_runs()  # where the thread had died before, or hangs

    def _work(self) -> None:
        # What a thread blocks, processes that it starts block too: Ctrl-C in a terminal goes to all of them at once,
        # and a run must be ended by one signal, not disturbed by a second one while it puts things back.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self.failure = first_line(error)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        await self._runner.start()


def end_runs(patience: float = PATIENCE_SECONDS) -> None:
    """Asks the processes of runs that this process has started to end; kills those that have not by then."""
    runs = _run_processes()
    for run in runs:
        try:
            run.terminate()
        except psutil.Error:
            continue
    deadline = time.monotonic() + patience
    while any(map(_is_at_work, runs)) and time.monotonic() < deadline:
        time.sleep(0.1)
    left = [run for run in runs if _is_at_work(run)]
    end([process for run in left for process in (*run.children(recursive=True), run)])


def _run_processes() -> list[psutil.Process]:
    found = []
    for child in psutil.Process().children():
        try:
            if "prefect.engine" in child.cmdline():
                found.append(child)
        except psutil.Error:
            continue  # it has just ended
    return found


def _is_at_work(process: psutil.Process) -> bool:
    # Not Process.wait: that would take the exit code away from asyncio, which waits for it too.
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


@cache
def _runner_class() -> type[Any]:
    from prefect.runner import Runner

    class PatientRunner(Runner):
        """Ends the processes of its runs before Prefect would, which gives them 30 seconds."""

        async def cancel_all(self) -> None:
            await asyncio.to_thread(end_runs)
            await super().cancel_all()

    return PatientRunner
