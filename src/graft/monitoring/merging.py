"""Small parts of a prediction log made one: a server that is asked once a minute writes a part each time.

A thousand rows in parts of their own took 4.3 megabytes, and 0.7 seconds to read; merged, a tenth of a megabyte and a
hundredth of a second. A merge is announced first, in ``merging.json``: where it is cut off by a kill, whoever merges or
reads next sees by the announcement whether the merged part is in place, and then removes those that it was made of. So
no row is there twice, or not at all.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

if TYPE_CHECKING:
    import pyarrow as pa

ANNOUNCEMENT = "merging.json"
# Small parts that are worth a merge: each row is then written again two or three times until its part is full.
MANY = 32
_READER_SECONDS = 30.0  # a merge takes a tenth of one


def merge_small(folder: Path, parts: Sequence[Path], full: int, schema: pa.Schema) -> None:
    """Makes one part of the oldest small ones, where there are many; does nothing while another process does.

    A part that is damaged, or goes meanwhile, stops this merge and nothing else.

    Args:
        folder: of the log.
        parts: of it, in order of time; named ``<time>-<rows>-<random>``.
        full: rows of a part that is full; small ones have less than half of them.
        schema: of all.

    Raises:
        OSError: the disk does not take the merged part.
    """
    small = [part for part in parts if rows_in(part) < full / 2]
    if len(small) < MANY:
        return
    import pyarrow as pa
    import pyarrow.parquet as pq

    with suppress(Timeout, FileNotFoundError, pa.ArrowException), FileLock(folder / ".lock", timeout=0):
        finish(folder)
        chosen: list[Path] = []
        rows = 0
        for part in small:
            if part.exists() and rows + rows_in(part) <= full:
                chosen.append(part)
                rows += rows_in(part)
        if len(chosen) < 2:
            return
        table = pa.concat_tables([pq.read_table(part, schema=schema) for part in chosen])
        # Under the time of the youngest: rows are older than their part.
        name = f"{written_at(chosen[-1]):020}-{len(table)}-{secrets.token_hex(4)}"
        new = folder / f"{name}.new"
        pq.write_table(table, new)
        merged = folder / f"{name}{chosen[-1].suffix}"
        announced = folder / f"{ANNOUNCEMENT}.new"
        announced.write_text(json.dumps({"into": merged.name, "of": [part.name for part in chosen]}))
        announced.replace(folder / ANNOUNCEMENT)
        new.replace(merged)
        finish(folder)


def finish(folder: Path) -> None:
    """Ends a merge that was announced: what is in the merged part goes elsewhere. For who holds the lock."""
    try:
        announced = json.loads((folder / ANNOUNCEMENT).read_text())
    except FileNotFoundError:
        return
    if (folder / announced["into"]).exists():
        for name in announced["of"]:
            (folder / name).unlink(missing_ok=True)
    (folder / ANNOUNCEMENT).unlink(missing_ok=True)


@contextmanager
def between_merges(folder: Path) -> Iterator[None]:
    """No merge is under way, and none begins, within the block.

    A folder that cannot be written is read as it is.
    """
    try:
        lock = FileLock(folder / ".lock", timeout=_READER_SECONDS)
        lock.acquire()
    except (OSError, Timeout):
        yield
        return
    try:
        finish(folder)
        yield
    finally:
        lock.release()


def written_at(part: Path) -> int:
    """When a part was written, in nanoseconds since 1970; its rows are older."""
    return int(part.stem.split("-")[0])


def rows_in(part: Path) -> int:
    """By its name."""
    return int(part.stem.split("-")[1])
