"""Answers on the way to a file: kept in parts, so that a run that was stopped carries on where it was.

Beside ``out.parquet`` lies, until all is done, the folder ``out.parquet.partial``::

    run.json            the model and the arguments; others are refused
    part-000001.parquet rows, each file whole or not there

The finished file appears at once and the folder goes.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
from filelock import FileLock, Timeout

from graft.errors import GraftError
from graft.prediction.predict import Answers
from graft.prediction.tables import rows_of

if TYPE_CHECKING:
    import pyarrow as pa

# A part is written at so many rows, or after so many seconds: what a stop can cost.
PART_ROWS = 4096
PART_SECONDS = 10.0


@dataclass(frozen=True)
class Run:
    """What a run is of: carried on only as the same.

    Attributes:
        model: the digest of the model's bundle.
        arguments: what it was pointed at.
    """

    model: str
    arguments: tuple[str, ...]


class PartialResults:
    """The folder of parts; to be used in a ``with``, by one process at a time.

    Args:
        out: the file that it will become.
        run: what is under way.
        classes: labels in the order of the probabilities.
        locks: a folder that processes of this project have in common.

    Raises:
        GraftError: another run is under way into the same file, or what lies there is of another model or other
            photographs.
    """

    def __init__(self, out: Path, run: Run, classes: Sequence[str], locks: Path) -> None:
        self.folder = out.with_name(out.name + ".partial")
        self._out, self._run, self._classes = out, run, list(classes)
        self._waiting: list[Answers] = []
        self._written = time.monotonic()
        locks.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(locks / f"predict-{fingerprint(str(out.resolve())):016x}.lock")

    def __enter__(self) -> Self:
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise GraftError(
                f"Another graft predict writes {self._out} now", "Wait for it, or name another --out"
            ) from None
        try:
            self._take_up()
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        try:
            self._write_part()  # also on Ctrl-C: what was computed is kept
        finally:
            self._lock.release()

    def done(self) -> np.ndarray:
        """Fingerprints of the photographs that have a row, uint64 ``[N]``, sorted, see :func:`fingerprint`."""
        import pyarrow.parquet as pq

        found = [
            fingerprint(name)
            for part in self._parts()
            for name in pq.read_table(part, columns=["path"])[0].to_pylist()
        ]
        return np.sort(np.array(found, np.uint64))

    def add(self, answers: Answers) -> None:
        """Takes some more rows."""
        self._waiting.append(answers)
        rows = sum(len(some.names) for some in self._waiting)
        if rows >= PART_ROWS or time.monotonic() - self._written >= PART_SECONDS:
            self._write_part()

    def finish(self) -> Counter[str]:
        """Makes the parts into the one file, and returns how many rows have which label; ``""`` is for none."""
        from graft.prediction.tables import write_table

        self._write_part()
        counts: Counter[str] = Counter()

        def tables() -> Iterator[pa.Table]:
            import pyarrow.parquet as pq

            for part in self._parts():
                table = pq.read_table(part)
                counts.update(label or "" for label in table["label"].to_pylist())
                yield table

        new = self.folder / f"whole{self._out.suffix}"
        write_table(tables(), new, self._classes)
        new.replace(self._out)
        shutil.rmtree(self.folder)
        return counts

    def _take_up(self) -> None:
        record = self.folder / "run.json"
        if not record.is_file():
            self.folder.mkdir(exist_ok=True)
            new = record.with_suffix(".new")
            new.write_text(json.dumps(asdict(self._run)), encoding="utf-8")
            new.replace(record)
            return
        found = json.loads(record.read_text(encoding="utf-8"))
        if found != json.loads(json.dumps(asdict(self._run))):
            other = "another model" if found["model"] != self._run.model else "other photographs"
            raise GraftError(
                f"{self.folder} holds a run that was stopped, of {other}: {' '.join(found['arguments'])}",
                "Carry that one on by the same command, delete the folder, or name another --out",
            )

    def _parts(self) -> list[Path]:
        return sorted(self.folder.glob("part-*.parquet"))

    def _write_part(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._written = time.monotonic()
        if not self._waiting:
            return
        table = pa.concat_tables([rows_of(some, self._classes) for some in self._waiting])
        parts = self._parts()
        number = int(parts[-1].stem.removeprefix("part-")) + 1 if parts else 1
        new = self.folder / "part.new"
        pq.write_table(table, new)
        new.replace(self.folder / f"part-{number:06}.parquet")
        self._waiting.clear()


def fingerprint(name: str) -> int:
    """64 bits of a name's hash: of ten million names, two agree with a probability of one in 400,000."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest())


def is_among(done: np.ndarray, name: str) -> bool:
    """Whether a name is one of those whose sorted fingerprints are in ``done``."""
    value = np.uint64(fingerprint(name))
    place = int(np.searchsorted(done, value))
    return place < len(done) and bool(done[place] == value)
