"""Spans, and the breakdown of a pipeline's wall time."""

import json
import os
import time
from pathlib import Path

import psutil
import pytest

from graft.core import timing
from graft.core.timing import Breakdown, Span, StageClock, read_breakdown


def write_stage(folder: Path, name: str, total: float, finished: float, **seconds: float) -> None:
    spans = [{"name": kind, "kind": kind, "seconds": value} for kind, value in seconds.items()]
    record = {"total": total, "finished": finished, "spans": spans}
    (folder / f"{name}.json").write_text(json.dumps(record))


def test_a_span_counts_also_where_its_block_fails() -> None:
    clock = StageClock("train")
    with pytest.raises(ValueError, match="no"), clock.span("fit"):
        raise ValueError("no")
    (span,) = clock.spans
    assert (span.name, span.kind) == ("fit", "compute")
    assert span.seconds >= 0


def test_seconds_add_up_by_name() -> None:
    spans = [Span("a", "compute", 1.5), Span("b", "mlflow", 0.25), Span("a", "compute", 2.0)]
    assert StageClock("train", spans).by_name() == {"a": 3.5, "b": 0.25}


def test_seconds_add_up_by_kind() -> None:
    clock = StageClock("train", [Span("a", "compute", 1.5), Span("b", "mlflow", 0.25), Span("c", "compute", 2.0)])
    assert clock.seconds("compute") == 3.5
    assert clock.seconds("imports") == 0
    assert clock.seconds() == 3.75


def test_a_stage_is_at_least_as_long_as_its_process_is_old(tmp_path: Path) -> None:
    clock = StageClock("train", [Span("fit", "compute", 0.0)])
    clock.write(tmp_path / "new" / "timings")
    record = json.loads((tmp_path / "new" / "timings" / "train.json").read_text())
    assert record["total"] > 0
    assert record["spans"] == [{"name": "fit", "kind": "compute", "seconds": 0.0}]
    assert [path.name for path in (tmp_path / "new" / "timings").iterdir()] == ["train.json"]


def test_the_breakdown_adds_up_the_stages_of_this_run(tmp_path: Path) -> None:
    write_stage(tmp_path, "train@frozen", total=10, finished=120, compute=6, imports=2, mlflow=1)
    write_stage(tmp_path, "train@scratch", total=5, finished=130, compute=4, imports=0.5)
    write_stage(tmp_path, "validate", total=50, finished=99, compute=50)
    breakdown = read_breakdown(tmp_path, started=100, wall=20)
    assert breakdown == Breakdown(wall=20, compute=10, imports=2.5, mlflow=1, prefect=1.5, dvc=5)
    assert breakdown.overhead == 0.5


def test_nothing_run_is_all_dvc(tmp_path: Path) -> None:
    assert read_breakdown(tmp_path / "none", started=100, wall=3) == Breakdown(3, 0, 0, 0, prefect=0, dvc=3)
    assert Breakdown(0, 0, 0, 0, 0, 0).overhead == 0


def test_a_forked_process_counts_from_the_start_of_the_one_that_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "_forked", None)
    assert StageClock.of_this_process("train").spans == []
    timing.forked(os.getppid(), waited=1.5)
    clock = StageClock.of_this_process("train")
    assert clock.spans == [Span("libraries", "imports", 1.5)]
    clock.write(tmp_path)
    total = json.loads((tmp_path / "train.json").read_text())["total"]
    assert total >= time.time() - psutil.Process().create_time() - 1
