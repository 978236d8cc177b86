"""Locks between processes, which go with the process that holds them, however that ends."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from graft.core.errors import GraftError


class LockedError(GraftError):
    """Another process holds a lock, and did not let it go in time."""

    def __reduce__(self) -> tuple[type[GraftError], tuple[str, str]]:
        return (type(self), (self.what, self.fix))


@contextlib.contextmanager
def locked(
    path: Path,
    busy: str,
    fix: str = "Wait until it has ended",
    wait_seconds: float = 0,
    waiting: str = "",
) -> Iterator[None]:
    """Hold the lock on a file for the length of the block. The file is made where it is missing, and stays.

    Args:
        busy: what is going on where another process holds the lock, for the message.
        wait_seconds: how long to wait for the other process.
        waiting: a line for standard error where it is still waited for after two seconds; ``""`` for none.

    Raises:
        LockedError: the other process did not let it go in time.
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
        raise LockedError(busy, fix) from None
    except OSError as error:
        raise GraftError(f"{path} cannot be written: {error.strerror}", "Make it writable") from None
    try:
        yield
    finally:
        lock.release()
