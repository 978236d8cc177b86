"""One command at a time where data/ and the pipeline are changed: `graft run`, imports and retrainings.

The lock is the operating system's on a file, so that it goes with the process that holds it, however that ends.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from graft.errors import GraftError
from graft.project import Project


class ProjectBusyError(GraftError):
    """Another command is changing data/ or running the pipeline."""

    def __reduce__(self) -> tuple[type[GraftError], tuple[str, str]]:
        return (type(self), (self.what, self.fix))


@contextlib.contextmanager
def project_lock(project: Project, wait_seconds: float = 0, by_retraining: bool = False) -> Iterator[None]:
    """Keeps other commands out for the length of the block.

    Args:
        project: whose data/ and pipeline.
        wait_seconds: how long to wait for another command to end.
        by_retraining: a retraining asks, which deals with what an earlier one left.

    Raises:
        ProjectBusyError: it did not end in that time.
        GraftError: a retraining was cut off, and has to be dealt with first; or the lock cannot be written.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(project.state / "project.lock", timeout=wait_seconds, poll_interval=0.2)
    try:
        project.state.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise ProjectBusyError(
            f"Another command is bringing data into {project.root}, or running its pipeline",
            "Wait until it has ended",
        ) from None
    except OSError as error:
        raise GraftError(f"{project.state} cannot be written: {error.strerror}", "Make it writable") from None
    try:
        if not by_retraining and project.retraining_journal.exists():
            raise GraftError(
                f"A retraining was cut off in {project.root}, and data/ may hold what it brought in",
                "Run `graft retrain`, which finishes it or takes it back",
            )
        yield
    finally:
        lock.release()
