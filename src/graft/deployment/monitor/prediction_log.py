"""Log what a model was asked and what it predicted, bounded, and without the images unless params say otherwise.

Rows are committed as they are appended: readers see them at once, and a process that is killed loses none. Several
processes may write at once. See :mod:`graft.deployment.monitor.log_file` for what lies on the disk.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from graft.core.errors import GraftError, first_line
from graft.core.params.monitor_params import LogParams
from graft.deployment.monitor.log_file import INSERT, LogFile, is_damage, transaction

if TYPE_CHECKING:
    from graft.deployment.monitor.observation import Observation

_FIGURES = ("problem", "width", "height", "brightness", "sharpness", "phash")


@dataclass(frozen=True)
class LoggedPrediction:
    """One image that a model was asked about.

    Attributes:
        image: its observation.
        model: which model, in words.
        digest: of the model, see :class:`graft.registry.resolve.ResolvedModel`.
        label, probability: its answer; ``""`` and nan where the image could not be read.
        embedding: float32 ``[D]`` of the backbone ``embedded_by``, logged where params ask for embeddings.
        data: the image's file, logged where params ask for images; None in rows that are read.
        time: of writing, UTC; set by the log.
    """

    image: Observation
    model: str
    digest: str
    label: str = ""
    probability: float = float("nan")
    embedding: np.ndarray | None = None
    embedded_by: str = ""
    data: bytes | None = None
    time: datetime | None = None


class PredictionLog:
    """A log in a folder, which is made when the first rows are written. Safe in threads, and beside other processes."""

    def __init__(self, folder: Path, params: LogParams) -> None:
        self.folder = folder
        self.params = params
        self._file = LogFile(folder)
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; the next :meth:`append` opens it again."""
        with self._lock:
            self._file.close()

    def append(self, predictions: Sequence[LoggedPrediction]) -> None:
        """Write rows, all of them or none, and remove the oldest beyond the limits.

        A file that is damaged is set aside with a warning that names it, and a new one is begun.

        Raises:
            GraftError: the disk does not take them.
        """
        with self._writing():
            try:
                self._write(predictions)
            except sqlite3.DatabaseError as error:
                if not is_damage(error):
                    raise
                self._file.set_aside(error)
                self._write(predictions)

    def read(
        self, since: datetime | None = None, after: int = 0, newest_first: bool = False
    ) -> Iterator[LoggedPrediction]:
        """Yield rows in the order of writing, one at a time, as they are when the first is asked for.

        Args:
            since: no rows from before; with a time zone.
            after: no rows up to this id, see :meth:`last`.

        Raises:
            GraftError: there is no log in the folder, or it is damaged, or a newer graft wrote it.
        """
        from graft.deployment.monitor.observation import Observation

        order = "DESC" if newest_first else "ASC"
        # The + keeps SQLite from sorting what it finds by the index on time.
        query = f"SELECT * FROM predictions WHERE +time >= ? AND id > ? ORDER BY id {order}"
        with self._file.reading() as connection:
            for row in connection.execute(query, (_seconds(since), after)):
                yield LoggedPrediction(
                    Observation(row["sha256"], *(row[name] for name in _FIGURES)),
                    row["model"],
                    row["digest"],
                    row["label"],
                    float("nan") if row["probability"] is None else row["probability"],
                    None if row["embedding"] is None else np.frombuffer(row["embedding"], "<f4"),
                    row["embedded_by"],
                    time=datetime.fromtimestamp(row["time"], UTC),
                )

    def count(self, since: datetime | None = None, after: int = 0) -> int:
        """Return how many rows :meth:`read` would yield. Raises as it."""
        query = "SELECT count(*) FROM predictions WHERE time >= ? AND id > ?"
        return self._number(query, _seconds(since), after)

    def last(self) -> int:
        """Return the id of the newest row, 0 for none. Rows written later have larger ones. Raises as :meth:`read`."""
        return self._number("SELECT max(id) FROM predictions")

    def images(self, hashes: Iterable[str]) -> Iterator[bytes | None]:
        """Yield the files of images by their SHA-256; None for one that was not logged. Raises as :meth:`read`."""
        with self._file.reading() as connection:
            for sha256 in hashes:
                row = connection.execute("SELECT data FROM images WHERE sha256 = ?", (sha256,)).fetchone()
                yield row["data"] if row else None

    def marked(self, reader: str) -> int:
        """Return the id that :meth:`mark` last wrote for a reader, 0 for none. Raises as :meth:`read`."""
        return self._number("SELECT max(id) FROM marks WHERE reader = ?", reader)

    def mark(self, reader: str, last: int) -> None:
        """Write up to which row a reader is done. It is stored in the log itself, so that a new log begins without.

        Raises:
            GraftError: the disk does not take it.
        """
        with self._writing():
            self._file.open().execute("INSERT OR REPLACE INTO marks VALUES (?, ?)", (reader, last))

    def _write(self, predictions: Sequence[LoggedPrediction]) -> None:
        connection = self._file.open()
        with transaction(connection):
            # Taken within the transaction, so that times rise with ids.
            now = datetime.now(UTC).timestamp()
            connection.executemany(INSERT, [self._row(one, now) for one in predictions])
            if self.params.keep_images:
                connection.executemany(
                    "INSERT INTO images VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET time = excluded.time",
                    (
                        (one.image.sha256, now, one.data)
                        for one in predictions
                        if one.data is not None and not one.image.problem
                    ),
                )
            self._file.prune(self.params.max_rows, self.params.max_mb * 1e6)
        self._file.shrink()

    def _row(self, one: LoggedPrediction, now: float) -> dict[str, Any]:
        is_kept = self.params.keep_embeddings and one.embedding is not None
        return {
            **{name: getattr(one.image, name) for name in ("sha256", *_FIGURES)},
            **{name: getattr(one, name) for name in ("model", "digest", "label", "probability")},
            "time": now,
            "embedding": np.asarray(one.embedding, "<f4").tobytes() if is_kept else None,
            "embedded_by": one.embedded_by if is_kept else "",
        }

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            with self._lock:
                yield
        except (sqlite3.Error, OSError) as error:
            raise GraftError(
                f"Nothing can be logged in {self._file.path}: {first_line(error)}",
                "Make room there, or make it writable",
            ) from error

    def _number(self, query: str, *values: object) -> int:
        with self._file.reading() as connection:
            return int(connection.execute(query, values).fetchone()[0] or 0)


def _seconds(since: datetime | None) -> float:
    return float("-inf") if since is None else since.timestamp()
