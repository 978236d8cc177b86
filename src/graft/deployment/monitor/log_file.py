"""The prediction log on the disk: one SQLite file that only its owner can read.

::

    <folder>/                                    0700
    <folder>/predictions.sqlite                  0600; while it is open, SQLite's -wal and -shm lie beside it
    <folder>/predictions.sqlite.damaged-<time>   what a writer found damaged

It is in write-ahead mode (https://www.sqlite.org/wal.html): readers and a writer do not wait for each other. A commit
survives a kill of the process; a cut of the power can take the last few and damages nothing (``synchronous=NORMAL``).
All writers must be on one machine, since that mode needs shared memory. Photographs are stored in the same file, so
that each goes with the last row that shows it, and both are removed by their SHA-256.
"""

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from graft.core.errors import GraftError, first_line
from graft.core.files import PRIVATE_FILE, make_private_folder, replaced_file
from graft.core.lock import locked
from graft.core.sqlite_file import open_sqlite

log = logging.getLogger(__name__)

FILE = "predictions.sqlite"
VERSION = 1  # of the tables, as SQLite's user_version
# Another writer's transaction takes milliseconds; one that removes many photographs, a second.
_BUSY_SECONDS = 5.0
_WAL_BYTES = 1 << 22  # that the -wal is cut to once it was larger; it grows to as much in normal work
_COLUMNS = {
    **{"time": "REAL NOT NULL", "sha256": "TEXT NOT NULL"},  # seconds since 1970
    **{"model": "TEXT NOT NULL", "digest": "TEXT NOT NULL", "label": "TEXT NOT NULL", "probability": "REAL"},
    **{"problem": "TEXT NOT NULL", "width": "INTEGER NOT NULL", "height": "INTEGER NOT NULL"},
    **{"brightness": "REAL NOT NULL", "sharpness": "REAL NOT NULL", "phash": "TEXT NOT NULL"},
    **{"embedding": "BLOB", "embedded_by": "TEXT NOT NULL"},  # float32, little-endian
}
_TABLES = (
    "PRAGMA auto_vacuum = INCREMENTAL",  # does nothing once there is a table
    "PRAGMA journal_mode = WAL",
    # Ids rise in the order of commits and are never given twice: a reader is done up to one of them.
    "CREATE TABLE predictions (id INTEGER PRIMARY KEY AUTOINCREMENT, "
    f"{', '.join(f'{name} {kind}' for name, kind in _COLUMNS.items())})",
    "CREATE INDEX predictions_by_time ON predictions (time)",
    "CREATE TABLE images (sha256 TEXT PRIMARY KEY, time REAL NOT NULL, data BLOB NOT NULL)",
    "CREATE INDEX images_by_time ON images (time)",
    "CREATE TABLE marks (reader TEXT PRIMARY KEY, id INTEGER NOT NULL)",
    f"PRAGMA user_version = {VERSION}",
)
INSERT = (  # a row by column
    f"INSERT INTO predictions ({', '.join(_COLUMNS)}) VALUES ({', '.join(f':{name}' for name in _COLUMNS)})"
)


class LogFile:
    """The file of a log; for one thread at a time. Everything may raise sqlite3.Error."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / FILE
        self._connection: sqlite3.Connection | None = None
        self._opened: tuple[int, int] | None = None

    def open(self) -> sqlite3.Connection:
        """Return a connection for writing to the file that is in place now; it is made where it is missing.

        Raises:
            GraftError: a newer graft wrote it.
        """
        if self._connection is not None and self._opened == _identity(self.path):
            return self._connection
        self.close()  # another process, or a person, has moved that file away
        make_private_folder(self.folder)
        with self._alone():
            if not self.path.exists() or not self.path.stat().st_size:
                with replaced_file(self.path, private=True) as new, closing(_connect(new)) as connection:
                    for statement in _TABLES:
                        connection.execute(statement)
        if self.path.stat().st_mode & 0o077:
            self.path.chmod(PRIVATE_FILE)
        self._opened = _identity(self.path)
        self._connection = _connect(self.path)
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES}")
        _require_known_version(self._connection, self.path)
        return self._connection

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def prune(self, max_rows: int, max_bytes: float) -> None:
        """Remove the oldest rows beyond the limits, and the photographs that only they show; the newest row stays."""
        connection = self.open()

        def number(query: str) -> int:
            return int(connection.execute(query).fetchone()[0] or 0)

        last = number("SELECT max(id) FROM predictions")
        first = last - max_rows + 1
        while True:
            connection.execute("DELETE FROM predictions WHERE id < ?", (first,))
            connection.execute("DELETE FROM images WHERE time < (SELECT min(time) FROM predictions)")
            pages = number("PRAGMA page_count") - number("PRAGMA freelist_count")
            first = number("SELECT min(id) FROM predictions")
            if first == last or pages * number("PRAGMA page_size") <= max_bytes:
                return
            # A twentieth of the rows at a time: little more goes than has to.
            first += max(1, (last - first) // 20)

    def remove_before(self, moment: float) -> None:
        """Remove the rows from before a time, in seconds since 1970, and the photographs that only they show."""
        connection = self.open()
        with transaction(connection):
            connection.execute("DELETE FROM predictions WHERE time < ?", (moment,))
            connection.execute("DELETE FROM images WHERE sha256 NOT IN (SELECT sha256 FROM predictions)")
        self.shrink()
        self.close()

    def shrink(self) -> None:
        """Return pages that are no longer used to the disk; outside of a transaction."""
        # As a script: execute() would stop after the first page.
        self.open().executescript("PRAGMA incremental_vacuum")

    def set_aside(self, error: sqlite3.Error) -> None:
        """Rename the file that was found damaged, unless another process has done so, with a warning that names it."""
        self.close()
        with self._alone():
            if _identity(self.path) != self._opened:
                return
            aside = f"{FILE}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%S%f}"
            # The -wal first: beside a new file, SQLite would take it for that one's.
            for suffix in ("-wal", "-shm", ""):
                if (self.folder / f"{FILE}{suffix}").exists():
                    (self.folder / f"{FILE}{suffix}").rename(self.folder / f"{aside}{suffix}")
        why = first_line(error)
        log.warning("%s is damaged (%s): it is set aside as %s, and a new log begins", self.path, why, aside)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection for reading, which sees the file as it was at the block's first query.

        Raises:
            GraftError: there is no file, or it is damaged, or a newer graft wrote it.
        """
        if not self.path.exists():
            raise GraftError(
                f"There is no prediction log in {self.folder}", "Set monitor.log.enabled in params.yaml, and predict"
            )
        # Where nothing can be written beside it, SQLite reads the file only as one that nobody changes; rows that a
        # killed writer left in the -wal would then be missing.
        wal = self.folder / f"{FILE}-wal"
        is_still = not os.access(self.folder, os.W_OK) and not (wal.exists() and wal.stat().st_size)
        try:
            with closing(_connect(self.path, "ro&immutable=1" if is_still else "ro")) as connection:
                _require_known_version(connection, self.path)
                yield connection
        except sqlite3.Error as error:
            raise GraftError(
                f"{self.path} cannot be read: {first_line(error)}",
                "Where it is damaged, move it away: a new log begins, and sqlite3's .recover may get rows back",
            ) from error

    @contextmanager
    def _alone(self) -> Iterator[None]:
        busy = f"Another process makes {self.path} now"
        with locked(self.folder / ".lock", busy, wait_seconds=_BUSY_SECONDS):
            yield


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Commit what the block writes, or nothing of it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # a full disk ends it by itself
            connection.execute("ROLLBACK")
        raise


def is_damage(error: sqlite3.DatabaseError) -> bool:
    """Return whether an error says that the file is damaged, or no database at all."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _connect(path: Path, mode: str = "rw") -> sqlite3.Connection:
    """Open a file that exists, in a connection that begins no transaction by itself."""
    options = {"timeout": _BUSY_SECONDS, "isolation_level": None, "check_same_thread": False}
    connection = open_sqlite(path, mode, **options)
    connection.row_factory = sqlite3.Row
    return connection


def _require_known_version(connection: sqlite3.Connection, path: Path) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version != VERSION:
        raise GraftError(
            f"{path} has version {version}, and this graft knows {VERSION}", "Move it away, or update graft"
        )


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino
