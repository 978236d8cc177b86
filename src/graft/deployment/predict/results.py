"""Store predictions in a database on their way to a file, so that a run that was stopped carries on where it was.

Beside ``out.parquet`` lies, until all is done, ``out.parquet.partial``: an SQLite file with a row for each photograph,
by the file that it was made of. The finished file appears at once, and the database goes.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from graft.core.errors import GraftError, first_line
from graft.core.files import replaced_file
from graft.deployment.predict.predict_photographs import PredictedBatch
from graft.deployment.predict.prediction_tables import Sets, rows_of, write_table

if TYPE_CHECKING:
    import pyarrow as pa

# Rows of the finished file that are in memory at a time.
PART_ROWS = 4096
_TABLES = (
    "CREATE TABLE run (description TEXT NOT NULL)",
    "CREATE TABLE rows (key TEXT PRIMARY KEY, place INTEGER, name TEXT NOT NULL, problem TEXT NOT NULL, "
    "label TEXT NOT NULL, probabilities BLOB NOT NULL)",
)


@dataclass(frozen=True)
class Run:
    """The description of a run, which is carried on only where it is the same.

    Attributes:
        model: the digest of the model's bundle, which names its files, classes and settings.
        arguments: what it was pointed at, absolute paths or patterns.
        decided: what is answered for probabilities, JSON.
    """

    model: str
    arguments: tuple[str, ...]
    decided: str = ""


class PartialResults:
    """The rows stored so far; to be used in a ``with``, by one process at a time.

    Args:
        classes: labels in the order of the probabilities.
        sets: as :func:`graft.deployment.predict.prediction_tables.rows_of` takes them.

    Attributes:
        path: where the rows are until then.
    """

    def __init__(self, out: Path, run: Run, classes: Sequence[str], sets: Sets | None = None) -> None:
        self._sets = sets
        self.path = out.with_name(out.name + ".partial")
        self._out, self._run, self._classes = out, run, list(classes)
        self._place = 0
        self._places: dict[str, int] = {}

    def __enter__(self) -> Self:
        """Take up the rows of an earlier run.

        Raises:
            GraftError: another run is under way into the same file, or was stopped that had another model or other
                photographs; or nothing can be written there.
        """
        with self._errors():
            self._rows = sqlite3.connect(self.path, timeout=0, isolation_level=None)
            # Held until the end, so that another process cannot even look.
            self._rows.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._rows.execute("BEGIN EXCLUSIVE")
            self._take_up()
            self._commit()
        return self

    def __exit__(self, *error: object) -> None:
        self._rows.close()  # what add() has not committed is nothing that another run would miss

    def __len__(self) -> int:
        """Return how many rows there are, of files as they were then."""
        return int(self._rows.execute("SELECT count(*) FROM rows").fetchone()[0])

    def wants(self, name: str, key: str) -> bool:
        """Return whether a photograph has no row yet; to be asked for each of this run, in the order of the file."""
        self._place += 1
        query = "UPDATE rows SET place = ?, name = ? WHERE key = ?"
        with self._errors():
            is_new = not self._rows.execute(query, (self._place, name, key)).rowcount
        if is_new:
            self._places[key] = self._place
        return is_new

    def add(self, batch: PredictedBatch) -> None:
        """Write the rows of some photographs that were wanted. Raises GraftError where the disk is full."""
        rows = zip(batch.keys, batch.names, batch.problems, batch.labels, batch.probabilities, strict=True)
        with self._errors():
            self._rows.executemany(
                "INSERT OR REPLACE INTO rows VALUES (?, ?, ?, ?, ?, ?)",
                (
                    (key, self._places.pop(key), name, problem, label, np.asarray(row, "<f4").tobytes())
                    for key, name, problem, label, row in rows
                ),
            )
            self._commit()

    def finish(self) -> Counter[str]:
        """Write the file, of this run's photographs alone, and return the rows by label; ``""`` is for none."""
        counts: Counter[str] = Counter()

        def tables() -> Iterator[pa.Table]:
            query = "SELECT name, key, problem, label, probabilities FROM rows WHERE place IS NOT NULL ORDER BY place"
            found = self._rows.execute(query)
            while rows := found.fetchmany(PART_ROWS):
                names, keys, problems, labels, stored = (list(column) for column in zip(*rows, strict=True))
                probabilities = np.frombuffer(b"".join(stored), "<f4").reshape(len(rows), -1)
                batch = PredictedBatch(names, keys, problems, probabilities, labels)
                table = rows_of(batch, self._classes, self._sets)
                counts.update(label or "" for label in table["label"].to_pylist())
                yield table

        with self._errors():
            with replaced_file(self._out) as new:
                write_table(tables(), new, self._classes, self._sets)
            self.path.unlink()  # while it is locked
        return counts

    def _commit(self) -> None:
        """Commit, and begin the next transaction: one for each row would sync the disk as often."""
        self._rows.execute("COMMIT")
        self._rows.execute("BEGIN EXCLUSIVE")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY:
                raise GraftError(
                    f"Another graft predict writes {self._out} now", "Wait for it, or name another --out"
                ) from None
            raise GraftError(
                f"{self.path} cannot be used for {self._out.name}: {first_line(error)}",
                "Make room there, or remove it, or name another --out; by the same command, a run carries on",
            ) from error

    def _take_up(self) -> None:
        description = json.dumps(asdict(self._run))
        if not self._rows.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            for statement in _TABLES:
                self._rows.execute(statement)
            self._rows.execute("INSERT INTO run VALUES (?)", (description,))
        found = json.loads(self._rows.execute("SELECT description FROM run").fetchone()[0])
        if found != json.loads(description):
            self._rows.close()
            other = "other photographs" if found.get("arguments") != list(self._run.arguments) else "another model"
            raise GraftError(
                f"{self.path} holds a run that was stopped, of {other}: {' '.join(found['arguments'])}",
                "Carry that one on by the same command, delete it, or name another --out",
            )
        # Files may have changed, or gone, since they were answered for: rows without a place are not written.
        self._rows.execute("UPDATE rows SET place = NULL")
