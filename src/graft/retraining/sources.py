"""Bringing in what is new before the inbox is looked at: a command of the user's, or DVC's remote."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable

from graft.data.versioning import run_dvc
from graft.errors import GraftError
from graft.params.retrain import SourceParams
from graft.processes import end_tree
from graft.progress import console
from graft.project import Project

FIRST_WAIT_SECONDS = 10.0
_LINES_KEPT = 3


def run_command(project: Project, params: SourceParams, wait: Callable[[float], None] = time.sleep) -> None:
    """Runs the command that puts deliveries into the inbox, where there is one.

    Raises:
        GraftError: it failed, or took too long, each time.
    """
    if params.command:
        _repeated(lambda: _shell(project, params), params.retries, wait)


def fetch_remote(project: Project, params: SourceParams, wait: Callable[[float], None] = time.sleep) -> None:
    """Has DVC bring data/ up to date, where params say so. data/ is in between while it does.

    Raises:
        GraftError: DVC failed, or took too long, each time.
    """
    commands = {"update": ("update", "data.dvc"), "pull": ("pull", "--force", "data.dvc")}
    if command := commands.get(params.remote):
        _repeated(lambda: run_dvc(project, *command, timeout=params.timeout_seconds), params.retries, wait)


def _shell(project: Project, params: SourceParams) -> None:
    # Not subprocess.run: it ends the shell alone at a timeout, and then waits for what the shell had started.
    process = subprocess.Popen(
        params.command,
        shell=True,
        cwd=project.root,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        output, _ = process.communicate(timeout=params.timeout_seconds)
    except subprocess.TimeoutExpired:
        end_tree(process.pid)
        raise GraftError(
            f"retrain.source.command had not ended after {params.timeout_seconds} s, and was ended",
            "Raise retrain.source.timeout_seconds, or look at what held it up",
        ) from None
    if process.returncode:
        last = " / ".join(output.strip().splitlines()[-_LINES_KEPT:]) or "it printed nothing"
        raise GraftError(
            f"retrain.source.command ended with {process.returncode}: {last}", "Run it by hand in the project"
        )


def _repeated(action: Callable[[], object], retries: int, wait: Callable[[float], None]) -> None:
    for attempt in range(retries + 1):
        try:
            action()
            return
        except GraftError as error:
            if attempt == retries:
                raise
            seconds = FIRST_WAIT_SECONDS * 2**attempt
            console.print(f"{error} Again in {seconds:.0f} s.", soft_wrap=True, markup=False)
            wait(seconds)
