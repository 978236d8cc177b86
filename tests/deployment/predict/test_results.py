"""Answers on the way to a file: whole in each form, and carried on wherever a run was stopped."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from graft.core.errors import GraftError
from graft.deployment.predict import results as module
from graft.deployment.predict.predict_photographs import PredictedBatch
from graft.deployment.predict.results import PartialResults, Run

# One looks like a number, one like nothing, one needs quotes.
CLASSES = ["001", "NA", 'a "b", c']
RUN = Run("digest", ("/photos",))


def answers(start: int, count: int) -> PredictedBatch:
    """Row i is of class i % 3; every tenth is broken."""
    names = [f"photos/{index:04}, ü.png" for index in range(start, start + count)]
    problems = ["truncated" if index % 10 == 9 else "" for index in range(start, start + count)]
    rows = np.full((count, 3), 0.1, np.float32)
    rows[np.arange(count), np.arange(start, start + count) % 3] = 0.8
    rows[[bool(problem) for problem in problems]] = np.nan
    labels = ["" if problem else CLASSES[int(row.argmax())] for problem, row in zip(problems, rows, strict=True)]
    return PredictedBatch(names, [f"/{name}|1" for name in names], problems, rows, labels)


def open_results(out: Path, run: Run = RUN) -> PartialResults:
    return PartialResults(out, run, CLASSES)


def add(results: PartialResults, some: PredictedBatch) -> int:
    """Adds those that are wanted, and returns how many these are."""
    wanted = [row for row, key in enumerate(some.keys) if results.wants(some.names[row], key)]
    columns = ([column[row] for row in wanted] for column in (some.names, some.keys, some.problems, some.labels))
    *others, labels = columns
    results.add(PredictedBatch(*others, some.probabilities[wanted], labels))
    return len(wanted)


def write(out: Path) -> dict[str, int]:
    with open_results(out) as results:
        for start in range(0, 60, 20):
            add(results, answers(start, 20))
        return dict(results.finish())


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PART_ROWS", 17)


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
        return list(json.loads(text)) if out.suffix == ".json" else [json.loads(line) for line in text.splitlines()]
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
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


def test_columns_have_types_also_where_nothing_could_be_read(tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    with open_results(out) as results:
        add(results, PredictedBatch(["a"], ["/a"], ["gone"], np.full((1, 3), np.nan, np.float32), [""]))
        assert results.finish() == {"": 1}
    frame = pd.read_parquet(out)
    assert frame["probability"].dtype == np.float32
    assert frame["label"].isna().all()


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".json", ".jsonl"])
def test_b15_no_photographs_are_a_table_without_rows(tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"out{suffix}"
    with open_results(out) as results:
        assert results.finish() == {}
    assert read(out) == []
    if suffix in (".parquet", ".csv"):
        frame = pd.read_parquet(out) if suffix == ".parquet" else pd.read_csv(out)
        columns = ["path", "label", "probability", "problem", *(f"p_{label}" for label in CLASSES)]
        assert list(frame.columns) == columns


def test_what_was_done_is_known_after_a_stop(tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    with pytest.raises(KeyboardInterrupt), open_results(out) as results:
        add(results, answers(0, 20))
        add(results, answers(20, 5))
        results.wants("photos/not answered.png", "/photos/not answered.png|1")
        raise KeyboardInterrupt
    assert not out.exists()
    with open_results(out) as results:
        assert len(results) == 25
        assert add(results, answers(0, 60)) == 35
        results.finish()
    whole = tmp_path / "whole.csv"
    write(whole)
    assert out.read_bytes() == whole.read_bytes()


def test_b15_rows_belong_to_the_files_as_they_were(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    with pytest.raises(KeyboardInterrupt), open_results(out) as results:
        add(results, answers(0, 20))
        raise KeyboardInterrupt
    now = answers(0, 18)  # two are gone since,
    now.keys[3] = now.keys[3].replace("|1", "|2")  # and one is another file of the same name
    now.probabilities[3] = [0.8, 0.1, 0.1]
    now.names[5] = "../photos/as it is called now.png"
    with open_results(out) as results:
        assert add(results, now) == 1
        assert results.finish().total() == 18
    rows = read(out)
    assert [row["path"] for row in rows] == now.names
    assert [row["label"] for row in rows[:6]] == [*CLASSES, CLASSES[0], CLASSES[1], CLASSES[2]]
    assert rows[3]["probabilities"] == pytest.approx(dict(zip(CLASSES, [0.8, 0.1, 0.1], strict=True)))
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


def test_another_run_is_not_carried_on(tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    with open_results(out) as results:
        add(results, answers(0, 20))
    with pytest.raises(GraftError, match="of another model: /photos"), open_results(out, Run("other", RUN.arguments)):
        pass
    with (
        pytest.raises(GraftError, match=r"of other photographs.*delete it"),
        open_results(out, Run("digest", ("/more",))),
    ):
        pass
    with open_results(out) as results:
        assert len(results) == 20


def test_b15_two_at_a_time_are_one_too_many_from_wherever(tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    code = f"""
import sys; sys.path[:0] = {[str(Path(__file__).parent)]!r}
from pathlib import Path
import test_results as t
with t.open_results(Path({str(out)!r})):
    pass
"""
    with open_results(out) as results:
        add(results, answers(0, 20))
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert f"Another graft predict writes {out} now" in done.stderr
        results.finish()
    assert out.is_file()
    with open_results(out):
        pass


@pytest.mark.parametrize("old", ["a folder", "another file"])
def test_what_an_earlier_graft_left_is_said(tmp_path: Path, old: str) -> None:
    partial = tmp_path / "out.csv.partial"
    if old == "a folder":
        partial.mkdir()
    else:
        partial.write_text("mine, and longer than the header of a database of any kind, which has 100 bytes" * 3)
    with (
        pytest.raises(GraftError, match=r"partial cannot be used for out\.csv: .*remove it"),
        open_results(tmp_path / "out.csv"),
    ):
        pass
    assert partial.exists()


def test_a_kill_leaves_whole_rows(tmp_path: Path) -> None:
    code = f"""
import sys; sys.path[:0] = {[str(Path(__file__).parent)]!r}
from pathlib import Path
import test_results as t
with t.open_results(Path({str(tmp_path / "out.csv")!r})) as results:
    start = 0
    while True:
        t.add(results, t.answers(start, 20)); start += 20
        print(start, flush=True)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    while int(process.stdout.readline()) < 100:
        pass
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    with open_results(tmp_path / "out.csv") as results:
        done = len(results)
        assert done >= 100
        assert done % 20 == 0
        assert add(results, answers(0, done + 20)) == 20
        results.finish()
    assert len(pd.read_csv(tmp_path / "out.csv")) == done + 20
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]
