"""The prediction log: what a model was asked and what it said, bounded, and without the images unless told otherwise.

::

    <folder>/<time>-<rows>-<random>.parquet   rows, written once; the time is of writing, in nanoseconds
    <folder>/images/<sha256>                  the files themselves, only with keep_images

A part is written under another name and put in place whole, so that a process that is killed leaves none that is
torn, and writers need not know of each other. Rows wait in memory for :data:`PART_ROWS` of them or
:data:`PART_SECONDS`; those that wait are lost with the process. Small parts are merged, see
:mod:`graft.monitoring.merging`.

Columns: ``time`` (UTC), ``sha256`` of the image's file, ``model`` (in words) and ``digest`` (of the model),
``label``, ``probability``, ``problem`` (``""`` where it was read), ``width``, ``height``, ``brightness``,
``sharpness``, ``phash`` (see :class:`graft.data.fingerprint.Fingerprint`), ``embedding`` (float32, null unless kept)
and ``embedded_by`` (the backbone's identity).
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from graft.errors import GraftError, first_line
from graft.monitoring.merging import between_merges, merge_small, rows_in, written_at
from graft.params.monitor import LogParams

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from graft.monitoring.observing import Observation

SUFFIX = ".parquet"
PART_ROWS = 1000
PART_SECONDS = 60.0
# A file that a killed writer left under its other name; no writer takes as long as this for one part.
_STALE_SECONDS = 3600


@dataclass(frozen=True)
class LoggedPrediction:
    """One image that a model was asked about.

    Attributes:
        image: what was seen of it.
        model: which model, in words.
        digest: of the model, see :class:`graft.prediction.source.ResolvedModel`.
        label, probability: its answer; ``""`` and nan where the image could not be read.
        embedding: float32 ``[D]`` of the backbone ``embedded_by``, kept where the log keeps embeddings.
        data: the image's file, kept where the log keeps images.
    """

    image: Observation
    model: str
    digest: str
    label: str = ""
    probability: float = float("nan")
    embedding: np.ndarray | None = None
    embedded_by: str = ""
    data: bytes | None = None


class PredictionLog:
    """A log in a folder, which is made when the first rows are written. Safe in threads, and beside other writers.

    Args:
        folder: where it lies.
        params: how much is kept, and what.

    Attributes:
        written: rows that this object has put on the disk.
    """

    def __init__(self, folder: Path, params: LogParams) -> None:
        self.folder = folder
        self.params = params
        self.written = 0
        self._waiting: list[dict[str, Any]] = []
        self._written = time.monotonic()
        self._lock = threading.Lock()
        # Whole parts go; where few rows are kept, parts are small, so that what stays is near the limit.
        self._part_rows = max(1, min(PART_ROWS, params.max_rows // 4))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.flush()

    def append(self, predictions: Sequence[LoggedPrediction]) -> None:
        """Takes some rows, and writes a part where there are enough of them or some have waited long enough.

        Raises:
            OSError: the disk does not take them.
        """
        now = datetime.now(UTC)
        with self._lock:
            self._waiting += [self._row(one, now) for one in predictions]
            if self.params.keep_images:
                for one in predictions:
                    if one.data is not None and not one.image.problem:
                        self._keep_image(one.image.sha256, one.data)
            waited = time.monotonic() - self._written
            if len(self._waiting) >= self._part_rows or waited >= PART_SECONDS:
                self._write()

    def flush(self) -> None:
        """Writes what waits. Raises as :meth:`append`."""
        with self._lock:
            self._write()

    def due_seconds(self) -> float:
        """How long nothing needs to be flushed, for whoever cannot count on another :meth:`append`."""
        with self._lock:
            if not self._waiting:
                return PART_SECONDS
            return max(0.0, self._written + PART_SECONDS - time.monotonic())

    def discard(self) -> int:
        """Forgets the rows that wait, where the disk does not take them, and says how many there were."""
        with self._lock:
            count = len(self._waiting)
            self._waiting.clear()
            return count

    def read(self, since: datetime | None = None) -> pd.DataFrame:
        """The rows that are written, in order of time; see the module's text for the columns.

        Args:
            since: no rows from before; with a time zone.

        Raises:
            GraftError: there is no log in the folder, or a part of it is damaged.
        """
        import pandas as pd
        import pyarrow as pa
        import pyarrow.parquet as pq

        if not self.folder.is_dir():
            raise GraftError(
                f"There is no prediction log in {self.folder}",
                "Set monitor.log.enabled in params.yaml, and predict",
            )
        tables = []
        with between_merges(self.folder):
            for part in self._parts():
                if since is not None and written_at(part) < since.timestamp() * 1e9:
                    continue  # rows are older than their part
                try:
                    tables.append(pq.read_table(part, schema=_schema()))
                except FileNotFoundError:
                    continue  # another process has pruned it
                except (OSError, pa.ArrowException) as error:
                    raise GraftError(
                        f"{part} is no part of a prediction log ({first_line(error)})", "Delete that file"
                    ) from error
        frame: pd.DataFrame = pa.concat_tables(tables or [_schema().empty_table()]).to_pandas()
        if since is not None:
            frame = frame[frame["time"] >= pd.Timestamp(since)]
        return frame.sort_values("time", kind="stable", ignore_index=True)

    def image(self, sha256: str) -> bytes | None:
        """An image's file, where it was kept and is still there."""
        try:
            return (self.folder / "images" / sha256).read_bytes()
        except FileNotFoundError:
            return None

    def _row(self, one: LoggedPrediction, now: datetime) -> dict[str, Any]:
        seen = one.image
        is_kept = self.params.keep_embeddings and one.embedding is not None
        return {
            "time": now,
            "sha256": seen.sha256,
            "model": one.model,
            "digest": one.digest,
            "label": one.label,
            "probability": one.probability,
            "problem": seen.problem,
            "width": seen.width,
            "height": seen.height,
            "brightness": seen.brightness,
            "sharpness": seen.sharpness,
            "phash": seen.phash,
            "embedding": one.embedding if is_kept else None,
            "embedded_by": one.embedded_by if is_kept else "",
        }

    def _keep_image(self, sha256: str, data: bytes) -> None:
        path = self.folder / "images" / sha256
        if path.exists():
            os.utime(path)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(f"{sha256}.{secrets.token_hex(4)}.new")
        new.write_bytes(data)
        new.replace(path)

    def _write(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._written = time.monotonic()
        if not self._waiting:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        while self._waiting:
            some = self._waiting[: self._part_rows]
            table = pa.Table.from_pylist(some, schema=_schema())
            name = f"{time.time_ns():020}-{len(table)}-{secrets.token_hex(4)}"
            new = self.folder / f"{name}.new"
            pq.write_table(table, new)
            new.replace(self.folder / f"{name}{SUFFIX}")
            del self._waiting[: len(some)]
            self.written += len(some)
        merge_small(self.folder, self._parts(), self._part_rows, _schema())
        self._prune()

    def _prune(self) -> None:
        """Removes the oldest parts, and images, until what is left is within the limits; the newest part stays."""
        for left in (*self.folder.glob("*.new"), *self.folder.glob("images/*.new")):
            with suppress(OSError):
                if time.time() - left.stat().st_mtime > _STALE_SECONDS:
                    left.unlink()
        parts = self._parts()
        rows = sum(rows_in(part) for part in parts)
        files = sorted((*parts, *self.folder.glob("images/*")), key=_age)
        size = sum(_size(path) for path in files)
        for path in files:
            is_part = path.suffix == SUFFIX
            if size > self.params.max_mb * 1e6 or (is_part and rows > self.params.max_rows):
                if is_part and path == parts[-1]:
                    continue
                size -= _size(path)
                rows -= rows_in(path) if is_part else 0
                with suppress(OSError):  # another process may have been quicker
                    path.unlink()

    def _parts(self) -> list[Path]:
        """In order of time."""
        return sorted(self.folder.glob(f"*-*-*{SUFFIX}"))


def _schema() -> pa.Schema:
    import pyarrow as pa

    texts = ("sha256", "model", "digest", "label", "problem", "phash", "embedded_by")
    return pa.schema(
        [
            ("time", pa.timestamp("us", "UTC")),
            *((name, pa.string()) for name in texts),
            *((name, pa.int32()) for name in ("width", "height")),
            *((name, pa.float32()) for name in ("probability", "brightness", "sharpness")),
            ("embedding", pa.list_(pa.float32())),
        ]
    )


def _age(path: Path) -> float:
    if path.suffix == SUFFIX:
        return written_at(path) / 1e9
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
