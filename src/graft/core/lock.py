"""Locks between processes, which go with the process that holds them, however that ends."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from graft.core.errors import GraftError
from graft.core.project import Project


class LockedError(GraftError):
    """Another process holds a lock, and did not let it go in time."""


class ProjectBusyError(LockedError):
    """Another command is changing data/, running the pipeline, or retraining."""


@contextlib.contextmanager
def locked(
    path: Path,
    busy: str,
    fix: str = "Wait until it has ended",
    wait_seconds: float = 0,
    waiting: str = "",
    error: type[LockedError] = LockedError,
) -> Iterator[None]:
    """Hold the lock on a file for the length of the block. The file is made where it is missing, and stays.

    Args:
        busy: what is going on where another process holds the lock, for the message.
        wait_seconds: how long to wait for the other process.
        waiting: a line for standard error where it is still waited for after two seconds; ``""`` for none.

    Raises:
        LockedError: of the type ``error``; the other process did not let it go in time.
        GraftError: the file cannot be written.
    """
    import sys

    from filelock import FileLock, Timeout

    lock = FileLock(path, poll_interval=0.1)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        patience = min(wait_seconds, 2.0)
        try:
            lock.acquire(timeout=patience)
        except Timeout:
            if wait_seconds <= patience:
                raise
            if waiting:
                print(waiting, file=sys.stderr, flush=True)
            lock.acquire(timeout=wait_seconds - patience)
    except Timeout:
        raise error(busy, fix) from None
    except OSError as problem:
        raise GraftError(
            f"{path} cannot be written: {problem.strerror}",
            f"Make it writable; where a group shares it, its owner does so by: chmod -R g+rwX {path.parent}",
        ) from None
    try:
        yield
    finally:
        lock.release()


def project_lock(project: Project, wait_seconds: float = 0) -> contextlib.AbstractContextManager[None]:
    """Keep commands out that change data/ or run the pipeline in the user's folder, for the length of a block.

    Args:
        wait_seconds: how long to wait for another command to end.

    Raises:
        ProjectBusyError: it did not end in that time.
        GraftError: the lock cannot be written.
    """
    busy = f"Another command is bringing data into {project.root}, or running its pipeline"
    return _of_project(project, "project.lock", busy, wait_seconds)


def retraining_lock(project: Project, wait_seconds: float = 0) -> contextlib.AbstractContextManager[None]:
    """Keep other retrainings out for the length of a block. Raises as :func:`project_lock` does."""
    busy = f"Another retraining of {project.root} is at work"
    return _of_project(project, "retraining.lock", busy, wait_seconds)


def _of_project(project: Project, name: str, busy: str, wait_seconds: float) -> contextlib.AbstractContextManager[None]:
    path, waiting = project.state / name, f"Waiting: {busy}"
    return locked(path, busy, wait_seconds=wait_seconds, waiting=waiting, error=ProjectBusyError)
