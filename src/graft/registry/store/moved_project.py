"""A project that was moved or copied: MLflow keeps absolute places of its files, which have to follow.

Without that, a moved project would miss its models, and a copy would write into the original.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

# Every column in which MLflow keeps where files lie. What a data set was read from is a record of its time, and stays.
_PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


def bring_home(database: Path, artifacts: Path) -> list[str]:
    """Have MLflow's own database name the files of this project, wherever it was moved or copied from.

    What graft put into the folder ``mlartifacts`` of another project is taken to lie in this one's, in one
    transaction. Other places, such as a bucket, stay as they are. The files themselves are not touched.

    Args:
        artifacts: this project's folder ``mlartifacts``.

    Returns:
        The folders it came from, as URIs; usually none.

    Raises:
        sqlite3.Error: it is no database, or cannot be written.
    """
    home = artifacts.as_uri()
    with contextlib.closing(sqlite3.connect(database, timeout=60, isolation_level=None)) as connection:
        places = [row[0] or "" for row in connection.execute("SELECT artifact_location FROM experiments")]
        before = sorted(
            {root for root in (_root(place, artifacts.name) for place in places) if root} - {home}
        )
        if not before:
            return []
        connection.execute("BEGIN IMMEDIATE")
        for root in before:
            for table, column in _PLACES:
                connection.execute(
                    f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?",
                    (home, len(root) + 1, len(root) + 1, f"{root}/"),
                )
        connection.execute("COMMIT")
    return before


def _root(place: str, name: str) -> str:
    """The folder ``name`` that a file URI lies below, as a URI; "" where it lies below none."""
    root, found, _ = place.rpartition(f"/{name}/")
    return f"{root}/{name}" if found and place.startswith("file://") else ""
