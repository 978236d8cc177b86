"""What is printed: one JSON document for programs; for people sentences, and tables that fit narrow terminals."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graft.core.progress import console

if TYPE_CHECKING:
    from rich.table import Table


@contextlib.contextmanager
def messages_aside(as_json: bool) -> Iterator[None]:
    """Send all that is printed in the block to standard error where a JSON document is to follow.

    That holds for what libraries written in C and other processes print, too: file descriptor 1 itself is led there.
    """
    if not as_json:
        yield
        return
    sys.stdout.flush()
    saved = None
    with contextlib.suppress(OSError):  # closed, as by `>&-`
        saved = os.dup(1)
        os.dup2(2, 1)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        sys.stderr.flush()
        if saved is not None:
            os.dup2(saved, 1)
            os.close(saved)


def say(text: str, **more: Any) -> None:
    """Print text as it is: lines are not broken, and square brackets in it mean nothing."""
    console.print(text, soft_wrap=True, markup=False, **more)


def print_next(*commands: str) -> None:
    """Print the commands that can follow, the likeliest first."""
    console.print("Next: " + "  or  ".join(f"[bold]{command}[/]" for command in commands))


def short(path: Path) -> Path:
    """Return the path as one would type it here: relative where it lies below the working directory."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def table_of(*columns: str, **settings: Any) -> Table:
    """Return an empty table without lines.

    Args:
        columns: headers, all empty for a table without a head. One that begins with ``>`` is of figures, to the
            right; with ``=`` it is not wrapped; with ``~`` it is broken anywhere, as paths have to be.
        settings: of :class:`rich.table.Table`.
    """
    from rich.table import Table

    heads = [column.lstrip(">=~") for column in columns]
    table = Table(box=None, header_style="bold", pad_edge=False, show_header=any(heads), **settings)
    for column, head in zip(columns, heads, strict=True):
        table.add_column(
            head,
            justify="right" if column.startswith(">") else "left",
            no_wrap=column.startswith((">", "=")),
            overflow="fold" if column.startswith("~") else "ellipsis",
        )
    return table


def print_table(table: Table, *least: str) -> None:
    """Print a table; where it is wider than the terminal, the columns named in ``least`` go, one after the other.

    Args:
        table: whose results are in columns that do not wrap.
    """
    from rich.measure import Measurement

    for header in least:
        if Measurement.get(console, console.options.update(max_width=10_000), table).maximum <= console.width:
            break
        table.columns = [column for column in table.columns if column.header != header]
        for number, column in enumerate(table.columns):
            column._index = number
    console.print(table)
