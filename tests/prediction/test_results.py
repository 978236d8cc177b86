"""Answers on the way to a file: whole in each form, and carried on wherever a run was stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from graft.errors import GraftError
from graft.prediction import results as module
from graft.prediction.predict import Answers
from graft.prediction.results import PartialResults, Run, fingerprint, is_among

# One looks like a number, one like nothing, one needs quotes.
CLASSES = ["001", "NA", 'a "b", c']
RUN = Run("digest", ("photos",))


def answers(start: int, count: int) -> Answers:
    """Row i is of class i % 3; every tenth is broken."""
    names = [f"photos/{index:04}, ü.png" for index in range(start, start + count)]
    problems = ["truncated" if index % 10 == 9 else "" for index in range(start, start + count)]
    rows = np.full((count, 3), 0.1, np.float32)
    rows[np.arange(count), np.arange(start, start + count) % 3] = 0.8
    rows[[bool(problem) for problem in problems]] = np.nan
    return Answers(names, problems, rows)


def open_results(out: Path, run: Run = RUN) -> PartialResults:
    return PartialResults(out, run, CLASSES, out.parent / "locks")


def write(out: Path) -> dict[str, int]:
    with open_results(out) as results:
        for start in range(0, 60, 20):
            results.add(answers(start, 20))
        return dict(results.finish())


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PART_ROWS", 20)


def read(out: Path) -> list[dict[str, object]]:
    """Rows as in JSON lines, from any form."""
    if out.suffix == ".parquet":
        frame = pd.read_parquet(out)
    elif out.suffix == ".csv":
        frame = pd.read_csv(out, dtype={"label": str}, keep_default_na=False, na_values={"problem": ""})
        frame["label"] = [None if row.problem == row.problem else row.label for row in frame.itertuples()]
        for name in ("probability", *(f"p_{label}" for label in CLASSES)):
            frame[name] = pd.to_numeric(frame[name], errors="coerce")
    else:
        text = out.read_text(encoding="utf-8")
        return (
            list(json.loads(text))
            if out.suffix == ".json"
            else [json.loads(line) for line in text.splitlines()]
        )
    rows = []
    for row in frame.astype(object).where(frame.notna(), None).to_dict("records"):
        each = {label: row.pop(f"p_{label}") for label in CLASSES}
        rows.append({**row, "probabilities": None if row["problem"] else each})
    return rows


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".json", ".jsonl"])
def test_each_form_holds_all(tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"out{suffix}"
    assert write(out) == {"001": 18, "NA": 18, CLASSES[2]: 18, "": 6}
    rows = read(out)
    assert len(rows) == 60
    for index, row in enumerate(rows):
        assert row["path"] == f"photos/{index:04}, ü.png"
        if index % 10 == 9:
            assert row["problem"] == "truncated"
            assert (row["label"], row["probability"], row["probabilities"]) == (None, None, None)
        else:
            assert row["problem"] is None
            assert row["label"] == CLASSES[index % 3]
            assert row["probability"] == pytest.approx(0.8)
            assert row["probabilities"] == pytest.approx(
                {label: 0.8 if place == index % 3 else 0.1 for place, label in enumerate(CLASSES)}
            )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["locks", out.name]


def test_columns_have_types_also_where_nothing_could_be_read(tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    with open_results(out) as results:
        results.add(Answers(["a"], ["gone"], np.full((1, 3), np.nan, np.float32)))
        assert results.finish() == {"": 1}
    frame = pd.read_parquet(out)
    assert frame["probability"].dtype == np.float32
    assert frame["label"].isna().all()


def test_what_was_done_is_known_after_a_stop(tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    with pytest.raises(KeyboardInterrupt), open_results(out) as results:
        results.add(answers(0, 20))
        results.add(answers(20, 5))  # not enough for a part: kept all the same
        raise KeyboardInterrupt
    assert not out.exists()
    with open_results(out) as results:
        done = results.done()
        assert len(done) == 25
        assert is_among(done, answers(24, 1).names[0])
        assert not is_among(done, answers(25, 1).names[0])
        results.add(answers(25, 35))
        results.finish()
    whole = tmp_path / "whole.csv"
    write(whole)
    assert out.read_bytes() == whole.read_bytes()


def test_another_run_is_not_carried_on(tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    with open_results(out) as results:
        results.add(answers(0, 20))
    with (
        pytest.raises(GraftError, match="of another model: photos"),
        open_results(out, Run("other", RUN.arguments)),
    ):
        pass
    with (
        pytest.raises(GraftError, match=r"of other photographs.*delete the folder"),
        open_results(out, Run("digest", ("more",))),
    ):
        pass
    with open_results(out) as results:
        assert len(results.done()) == 20


def test_two_at_a_time_are_one_too_many(tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    with (
        open_results(out),
        pytest.raises(GraftError, match="Another graft predict writes"),
        open_results(out),
    ):
        pass
    with open_results(out):
        pass


def test_a_kill_leaves_whole_parts(tmp_path: Path) -> None:
    code = f"""
import sys; sys.path[:0] = {[str(Path(__file__).parent)]!r}
from pathlib import Path
import test_results as t
t.module.PART_ROWS = 20
with t.open_results(Path({str(tmp_path / "out.csv")!r})) as results:
    start = 0
    while True:
        results.add(t.answers(start, 20)); start += 20
"""
    process = subprocess.Popen([sys.executable, "-c", code])
    folder = tmp_path / "out.csv.partial"
    deadline = time.monotonic() + 120
    while len(list(folder.glob("part-*"))) < 5 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    with open_results(tmp_path / "out.csv") as results:
        done = results.done()
        assert len(done) >= 100
        assert len(done) % 20 == 0
        results.add(answers(len(done), 20))
        results.finish()
    assert len(pd.read_csv(tmp_path / "out.csv")) == len(done) + 20


def test_fingerprints_are_the_same_in_every_process() -> None:
    assert fingerprint("a") == fingerprint("a") != fingerprint("b")
    assert not is_among(np.array([], np.uint64), "a")
    assert is_among(np.sort(np.array([fingerprint("a"), fingerprint("b")], np.uint64)), "b")
