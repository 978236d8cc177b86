"""Remember what scans found in files, so that a scan reads only what is new or changed.

Two tables in an SQLite file: ``files`` knows a path by its size, times and inode, and leads to the SHA-256 of its
bytes without opening it; ``pictures`` knows what bytes hold, so that a file that was touched, moved or checked out
anew is hashed but not decoded.

A file that changes without a change of size, modification time, inode and inode-change time would go unnoticed.
The last of these cannot be set back by ordinary means. What is left is a file that is changed twice within one
tick of the clock; as git does with its index ("Racy Git", Git's technical documentation), a file whose times are
not safely older than the scan is not remembered.

A scan reads what the last one left and writes a file of its own, which takes the old one's place at the end:
scans at the same time, a full disk or a kill do no harm. Every row carries a checksum; a damaged one counts as
unknown. The file may be deleted at any time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
import threading
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from graft.core.files import replaced_file

# The coarsest clock of a file system in use (FAT) ticks every two seconds.
_TICK_NS = 2 * 10**9
# Pictures lie in the order of the scan, in which they are asked for; in order of SHA-256 they took twice the time.
_TABLES = """
    CREATE TABLE about (code TEXT NOT NULL);
    CREATE TABLE files (path BLOB PRIMARY KEY, state TEXT NOT NULL, sha256 TEXT NOT NULL, crc INTEGER NOT NULL)
        WITHOUT ROWID;
    CREATE TABLE pictures (sha256 TEXT PRIMARY KEY, facts TEXT NOT NULL, crc INTEGER NOT NULL);
"""


class RememberedFile(NamedTuple):
    """The facts stored about a file: the SHA-256 of its bytes, and what they hold (JSON-able)."""

    sha256: str
    facts: dict[str, Any]


@contextlib.contextmanager
def scan_memory(path: Path, code: str) -> Iterator[ScanMemory]:
    """Yield the memory of one scan; only leaving the block without an exception makes what was stored the new memory.

    Args:
        path: the SQLite file; one that cannot be used is treated as missing.
        code: names the code and settings that facts depend on; facts of another are not used.
    """
    code = hashlib.sha256(code.encode()).hexdigest()
    with contextlib.ExitStack() as stack:
        partial = stack.enter_context(replaced_file(path))
        partial.touch()  # SQLite would make it 0644, also where a group shares the project
        new = sqlite3.connect(partial, isolation_level=None, check_same_thread=False)
        stack.callback(new.close)
        # Nothing has to survive a crash: a memory that is not whole is never put in place.
        new.executescript(f"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; {_TABLES} BEGIN")
        new.execute("INSERT INTO about VALUES (?)", (code,))
        memory = ScanMemory(_open_old(path, code), new)
        stack.callback(memory.forget_old)
        yield memory
        new.execute("COMMIT")


class ScanMemory:
    """The memory of one scan: it reads what the last scan stored, and stores what this one finds."""

    def __init__(self, old: sqlite3.Connection | None, new: sqlite3.Connection) -> None:
        self._old, self._new = old, new
        self._latest_ns = time.time_ns() - _TICK_NS
        self._lock = threading.Lock()

    def forget_old(self) -> None:
        """Close what the last scan left, which is not asked any more."""
        if self._old is not None:
            with contextlib.suppress(sqlite3.Error):
                self._old.close()
            self._old = None

    def files(self, names: Sequence[str], states: Sequence[os.stat_result | None]) -> list[RememberedFile | None]:
        """Return the facts stored about each file that is unchanged, else None; one query for all of them."""
        marks = ",".join("?" * len(names))
        rows = self._look_up(
            "SELECT path, state, files.sha256, files.crc, facts, pictures.crc FROM files JOIN pictures "
            f"ON pictures.sha256 = files.sha256 WHERE path IN ({marks})",
            [os.fsencode(name) for name in names],
        )
        known = {os.fsdecode(path): rest for path, *rest in rows}
        found: list[RememberedFile | None] = []
        for name, status in zip(names, states, strict=True):
            state, sha256, crc, facts, facts_crc = known.get(name, ("", "", 0, "", 0))
            is_as_it_was = status is not None and state == _state(status) and crc == _crc(name, state, sha256)
            is_whole = is_as_it_was and facts_crc == _crc(sha256, facts)
            found.append(RememberedFile(sha256, json.loads(facts)) if is_whole else None)
        return found

    def picture(self, sha256: str) -> dict[str, Any] | None:
        """Return the facts stored about bytes of an earlier scan, else None. Safe in threads."""
        for facts, crc in self._look_up("SELECT facts, crc FROM pictures WHERE sha256 = ?", [sha256]):
            if crc == _crc(sha256, facts):
                found: dict[str, Any] = json.loads(facts)
                return found
        return None

    def keep(self, files: Iterable[tuple[str, os.stat_result, RememberedFile]]) -> None:
        """Remember files: name, status, and what was found in each."""
        rows, pictures = [], []
        for name, status, (sha256, facts) in files:
            text = json.dumps(facts, separators=(",", ":"))
            pictures.append((sha256, text, _crc(sha256, text)))
            if max(status.st_mtime_ns, status.st_ctime_ns) < self._latest_ns:
                state = _state(status)
                rows.append((os.fsencode(name), state, sha256, _crc(name, state, sha256)))
        self._new.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", rows)
        self._new.executemany("INSERT OR IGNORE INTO pictures VALUES (?, ?, ?)", pictures)

    def _look_up(self, query: str, keys: Sequence[str | bytes]) -> list[Any]:
        with self._lock:
            if self._old is None:
                return []
            try:
                return self._old.execute(query, keys).fetchall()
            except sqlite3.Error:
                # Damaged in the middle: what else it says is not to be trusted either.
                self.forget_old()
                return []


def _open_old(path: Path, code: str) -> sqlite3.Connection | None:
    if not path.is_file():
        return None
    connection = None
    try:
        uri = f"{path.resolve().as_uri()}?mode=ro&immutable=1"
        connection = sqlite3.connect(uri, uri=True, check_same_thread=False)
        if connection.execute("SELECT code FROM about").fetchall() == [(code,)]:
            return connection
    except sqlite3.Error:
        pass  # torn, or something else: as good as none, and replaced at the end
    if connection is not None:
        connection.close()
    return None


def _state(status: os.stat_result) -> str:
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}"


def _crc(*parts: str) -> int:
    return zlib.crc32("\0".join(parts).encode("utf-8", "surrogateescape"))
