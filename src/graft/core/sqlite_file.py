"""Open an existing SQLite file in a given mode."""

import sqlite3
from pathlib import Path
from typing import Any
from urllib.parse import quote


def open_sqlite(path: Path, mode: str, **options: Any) -> sqlite3.Connection:
    """Return a connection to a database that exists; none is ever made, whatever characters the path has.

    Args:
        mode: ``ro`` or ``rw``; further parameters of SQLite's addresses may follow, as in ``ro&immutable=1``.
        options: of :func:`sqlite3.connect`.

    Raises:
        sqlite3.Error: there is no such file, or it cannot be opened.
    """
    return sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode={mode}", uri=True, **options)
