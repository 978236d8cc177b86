"""One command at a time where data/ and the pipeline are changed: `graft run`, imports, and the ends of retrainings.

The locks are the operating system's on files, so that they go with the process that holds them, however that ends.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from graft.core.lock import LockedError, locked
from graft.core.project import Project


class ProjectBusyError(LockedError):
    """Another command is changing data/, running the pipeline, or retraining."""


@contextlib.contextmanager
def project_lock(project: Project, wait_seconds: float = 0) -> Iterator[None]:
    """Keep commands out that change data/ or run the pipeline in the user's folder, for the length of the block.

    Args:
        wait_seconds: how long to wait for another command to end.

    Raises:
        ProjectBusyError: it did not end in that time.
        GraftError: the lock cannot be written.
    """
    busy = f"Another command is bringing data into {project.root}, or running its pipeline"
    with _held(project, "project.lock", busy, wait_seconds):
        yield


@contextlib.contextmanager
def retraining_lock(project: Project, wait_seconds: float = 0) -> Iterator[None]:
    """Keep other retrainings out for the length of the block. Raises as :func:`project_lock` does."""
    with _held(project, "retraining.lock", f"Another retraining of {project.root} is at work", wait_seconds):
        yield


@contextlib.contextmanager
def _held(project: Project, name: str, busy: str, wait_seconds: float) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(
                locked(project.state / name, busy, wait_seconds=wait_seconds, waiting=f"Waiting: {busy}")
            )
        except LockedError as error:
            raise ProjectBusyError(error.what, error.fix) from None
        yield
