"""What an earlier graft logged in Parquet parts and a folder of images, moved into the log's one file."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from graft.core.outside import is_sha256
from graft.errors import GraftError, first_line


def parts_in(folder: Path) -> list[Path]:
    """Return the parts of an earlier log, in order of time."""
    return sorted(folder.glob("*-*-*.parquet"))


def move_parts(
    folder: Path, connection: sqlite3.Connection, insert: Callable[[list[dict[str, Any]]], None]
) -> None:
    """Insert rows and images into the log's file; each old file is removed once what it holds is committed.

    Args:
        folder: of the log.
        connection: to its file, in no transaction.
        insert: commits rows, by column.

    Raises:
        GraftError: a part cannot be read; those before it are moved.
        sqlite3.Error, OSError: the disk does not take them.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    for part in parts_in(folder):
        try:
            rows = pq.read_table(part).to_pylist()
        except (OSError, pa.ArrowException) as error:
            raise GraftError(
                f"{part} is no part of a prediction log ({first_line(error)})", "Move that file away"
            ) from error
        insert([{**row, "time": row["time"].timestamp()} for row in rows])
        part.unlink()
    for image in (folder / "images").glob("*"):
        if is_sha256(image.name):
            row = (image.name, image.stat().st_mtime, image.read_bytes())
            connection.execute("INSERT OR IGNORE INTO images VALUES (?, ?, ?)", row)
            image.unlink()
