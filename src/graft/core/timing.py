"""Record where the time of a stage went, from the start of its process to its end.

Each stage writes its spans to ``<cache>/timings/<stage>.json``; `graft run` adds them up against the wall time
of the whole pipeline. Only spans of kind ``compute`` are work on the user's data; all the rest is overhead.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import psutil

from graft.core.files import write_file

# compute: decoding, checking, training, predicting; imports: loading libraries; mlflow: tracking and registry
# calls; the rest of a stage's process is Prefect's engine, and the rest of the pipeline DVC's own.
Kind = Literal["compute", "imports", "mlflow"]


@dataclass
class Span:
    """One named stretch of time, in seconds."""

    name: str
    kind: Kind
    seconds: float


# Of a process that was forked for a stage (graft.automation.warm): when the stage began, and how long it waited for
# its libraries.
_forked: tuple[float, float] | None = None


def forked(asked_by: int, waited: float) -> None:
    """Record that this process does the work of another, whose start is then the stage's.

    Args:
        asked_by: id of the other process, which still runs.
        waited: seconds until this process could be forked, a span of the kind imports.
    """
    global _forked
    _forked = (psutil.Process(asked_by).create_time(), waited)


@dataclass
class StageClock:
    """Collects the spans of one stage. Spans may not overlap: their sum is compared with the wall time."""

    stage: str
    spans: list[Span] = field(default_factory=list)

    @classmethod
    def of_this_process(cls, stage: str) -> StageClock:
        """Return the clock of the stage that this process runs, with what it waited for before."""
        return cls(stage, [Span("libraries", "imports", _forked[1])] if _forked else [])

    @contextmanager
    def span(self, name: str, kind: Kind = "compute") -> Iterator[None]:
        """Time the block; it counts also when the block fails."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.spans.append(Span(name, kind, time.perf_counter() - start))

    def seconds(self, kind: Kind | None = None) -> float:
        """Sum of the spans of one kind, or of all."""
        return sum(span.seconds for span in self.spans if kind in (None, span.kind))

    def by_name(self) -> dict[str, float]:
        """Return the seconds of the spans of each name, added up."""
        sums: dict[str, float] = {}
        for span in self.spans:
            sums[span.name] = sums.get(span.name, 0.0) + span.seconds
        return sums

    def write(self, folder: Path) -> None:
        """Write the spans, and the age of the stage's process as its total."""
        total = time.time() - (_forked[0] if _forked else psutil.Process().create_time())
        record = {"total": total, "finished": time.time(), "spans": [vars(span) for span in self.spans]}
        write_file(folder / f"{self.stage}.json", json.dumps(record, indent=1))


@dataclass(frozen=True)
class Breakdown:
    """Seconds of one run of the pipeline by where they went; ``prefect`` includes starting its server."""

    wall: float
    compute: float
    imports: float
    mlflow: float
    prefect: float
    dvc: float

    @property
    def overhead(self) -> float:
        """Share of the wall time that is not compute, 0 to 1."""
        return 1 - self.compute / self.wall if self.wall else 0.0


def read_breakdown(folder: Path, started: float, wall: float) -> Breakdown:
    """Add up the stages that finished after ``started`` (seconds since the epoch).

    Args:
        wall: how long it ran, in seconds.
    """
    sums = {"compute": 0.0, "imports": 0.0, "mlflow": 0.0}
    total = 0.0
    for path in sorted(folder.glob("*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["finished"] < started:
            continue
        total += record["total"]
        for span in record["spans"]:
            sums[span["kind"]] += span["seconds"]
    prefect = max(0.0, total - sum(sums.values()))
    return Breakdown(wall=wall, prefect=prefect, dvc=max(0.0, wall - total), **sums)
