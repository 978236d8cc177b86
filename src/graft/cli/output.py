"""What is printed: one JSON document for programs, or tables that keep their results on narrow terminals."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

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


def print_table(table: Table, *least: str) -> None:
    """Print a table; where it is wider than the terminal, the columns named in ``least`` go, one after the other.

    Args:
        table: whose results are in columns that do not wrap.
    """
    from rich.measure import Measurement

    for header in least:
        if Measurement.get(console, console.options.update(max_width=10_000), table).maximum <= console.width:
            break
        table = _without(table, header)
    console.print(table)


def _without(table: Table, header: str) -> Table:
    """Return the table without the column of that header."""
    from rich.table import Table

    left = [column for column in table.columns if column.header != header]
    smaller = Table(box=table.box, header_style=table.header_style, pad_edge=table.pad_edge)
    for column in left:
        smaller.add_column(
            column.header,
            justify=column.justify,
            no_wrap=column.no_wrap,
            overflow=column.overflow,
            style=column.style,
        )
    cells = [list(column.cells) for column in left]
    for number, row in enumerate(table.rows):
        smaller.add_row(*(column[number] for column in cells), style=row.style, end_section=row.end_section)
    return smaller
