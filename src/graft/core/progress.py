"""Progress bars for long work: drawn on a terminal, one closing line anywhere else."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, ConsoleDimensions
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_UNFOLDED = 10_000


class _Output(Console):
    """Standard output, whose lines are folded for a terminal alone: a file or a pipe has no width."""

    @property  # type: ignore[misc]
    def size(self) -> ConsoleDimensions:
        """Columns and rows; ``COLUMNS`` in the environment is believed everywhere."""
        size = super().size
        is_asked_for = self.is_terminal or "COLUMNS" in self._environ
        return size if is_asked_for else ConsoleDimensions(_UNFOLDED, size.height)


console = _Output(highlight=False)

Advance = Callable[[int], None]


@contextmanager
def progress_bar(label: str, total: int) -> Iterator[Advance]:
    """Yield a function that counts steps done; the bar stays on the terminal when it is full."""
    started = time.perf_counter()
    if not console.is_terminal:
        yield lambda steps: None
        print(f"{label}: {total} in {time.perf_counter() - started:.1f} s", file=sys.stdout, flush=True)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(label, total=total)
        yield lambda steps: progress.advance(task, steps)


@contextmanager
def download_bar(label: str, done: int, rest: int) -> Iterator[Advance]:
    """Yield a function that counts bytes received; the bar goes when it is full, and shows on terminals only.

    Args:
        rest: bytes to come, 0 where that is not known.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(f"Fetching {label}", total=done + rest if rest else None, completed=done)
        yield lambda count: progress.advance(task, count)
