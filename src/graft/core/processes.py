"""End processes that were started, with all that they started."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

_PATIENCE_SECONDS = 10
_RUN_BY = 4  # words of a command line, among which Python is told what to run


def run_to_end(command: Sequence[str] | str, timeout: float | None = None, **settings: Any) -> int:
    """Run a command and return its exit code; where this ends before the command does, end it and everything below it.

    Args:
        command: its words, or with ``shell=True`` one line for the shell.
        timeout: seconds; None: no limit.
        settings: those of `subprocess.Popen`.

    Raises:
        subprocess.TimeoutExpired: it took longer than ``timeout`` seconds.
    """
    process = None
    try:
        # Not in a `with`: where a signal comes before the wait has begun, that would wait for the command.
        process = subprocess.Popen(command, **settings)
        return process.wait(timeout)
    except KeyboardInterrupt:
        # The terminal has sent Ctrl-C to all of them: let them put things away.
        if process is not None:
            process.wait()
        raise
    except BaseException:
        if process is not None:
            end_tree(process.pid)
        raise


def end_tree(pid: int) -> None:
    """End a process and everything below it: ask first, and kill after ten seconds."""
    try:
        process = psutil.Process(pid)
        end([process, *process.children(recursive=True)])
    except psutil.NoSuchProcess:
        return


def end_marked(name: str, value: str) -> int:
    """End every process of this user's whose environment has ``name`` set to ``value``, but not this one; return how
    many.

    So that of a run that was killed, whatever it had started can be found, whoever has adopted it since.
    """
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(name) == value:
                found.append(process)
        except psutil.Error:
            continue  # another user's, or gone
    end(found)
    return len(found)


def is_at_work(name: str, folder: Path) -> bool:
    """Return whether a process of this name has its working directory in a folder or below it.

    A program of Python's, such as DVC, is called so by what Python was given to run. A process that was killed, and
    that nobody has waited for yet, is at work no more.
    """
    for process in psutil.process_iter(["name", "cmdline", "cwd", "status"]):
        words = process.info["cmdline"] or []
        is_named = process.info["name"] == name or any(Path(word).name == name for word in words[:_RUN_BY])
        cwd = process.info["cwd"]  # None where it is another user's
        is_here = cwd is None or Path(cwd).is_relative_to(folder)
        if is_named and is_here and process.info["status"] != psutil.STATUS_ZOMBIE:
            return True
    return False


def end(processes: Sequence[psutil.Process]) -> None:
    """End processes: ask first, and kill after ten seconds."""
    for process in processes:
        try:
            process.terminate()
        except psutil.Error:
            continue
    _, alive = psutil.wait_procs(processes, timeout=_PATIENCE_SECONDS)
    for process in alive:
        try:
            process.kill()
        except psutil.Error:
            continue
    psutil.wait_procs(alive, timeout=_PATIENCE_SECONDS)
