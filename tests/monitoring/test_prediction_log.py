"""The prediction log: whole under writers side by side and a kill, bounded, and silent about images unless told."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from graft.errors import GraftError
from graft.monitoring import log as module
from graft.monitoring import merging
from graft.monitoring.log import LoggedPrediction, PredictionLog
from graft.monitoring.observing import Observation
from graft.params.monitor import LogParams


def prediction(number: int, **more: object) -> LoggedPrediction:
    image = Observation(f"{number:064x}", "", 40, 30, 0.5, 100.0, f"{number:016x}")
    return LoggedPrediction(image, "signs version 3", "d" * 64, "stop", 0.75, **more)  # type: ignore[arg-type]


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    with PredictionLog(tmp_path / "log", LogParams()) as log:
        log.append([prediction(1, embedding=np.ones(3, np.float32), embedded_by="e", data=b"bytes")])
        log.append([LoggedPrediction(Observation("", "the file is empty"), "m", "d")])
    frame = PredictionLog(tmp_path / "log", LogParams()).read()
    first, second = frame.to_dict("records")
    assert (first["label"], first["probability"], first["width"], first["height"]) == ("stop", 0.75, 40, 30)
    assert first["sha256"] == f"{1:064x}"
    assert abs(first["time"] - datetime.now(UTC)) < timedelta(minutes=5)
    assert (second["label"], second["problem"]) == ("", "the file is empty")
    # Neither embedding nor image unless they are asked for.
    assert first["embedding"] is None
    assert first["embedded_by"] == ""
    assert not (tmp_path / "log" / "images").exists()


def test_embeddings_and_images_where_they_are_asked_for(tmp_path: Path) -> None:
    params = LogParams(keep_embeddings=True, keep_images=True)
    with PredictionLog(tmp_path, params) as log:
        log.append([prediction(1, embedding=np.arange(3, dtype=np.float32), embedded_by="e", data=b"bytes")])
    (row,) = log.read().to_dict("records")
    assert row["embedding"].tolist() == [0, 1, 2]
    assert log.image(row["sha256"]) == b"bytes"
    assert log.image("0" * 64) is None


def test_nothing_is_read_from_before(tmp_path: Path) -> None:
    with PredictionLog(tmp_path, LogParams()) as log:
        log.append([prediction(1)])
    assert len(log.read(datetime.now(UTC) - timedelta(hours=1))) == 1
    assert log.read(datetime.now(UTC) + timedelta(hours=1)).empty


def test_when_rows_that_wait_are_due(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(
        module,
        "time",
        SimpleNamespace(monotonic=lambda: clock.now, time=time.time, time_ns=time.time_ns),
    )
    log = PredictionLog(tmp_path, LogParams())
    clock.now += 30
    assert log.due_seconds() == module.PART_SECONDS
    log.append([prediction(1)])
    assert log.due_seconds() == module.PART_SECONDS - 30
    clock.now += 100
    assert log.due_seconds() == 0
    assert (log.written, list(tmp_path.iterdir())) == (0, [])
    log.flush()
    assert (log.written, log.due_seconds(), len(log.read())) == (1, module.PART_SECONDS, 1)


def test_rows_that_are_discarded_are_written_by_nothing(tmp_path: Path) -> None:
    with PredictionLog(tmp_path, LogParams()) as log:
        log.append([prediction(1), prediction(2)])
        assert log.discard() == 2
        log.append([prediction(3)])
    assert [int(text, 16) for text in log.read()["sha256"]] == [3]
    assert log.written == 1


def test_the_oldest_rows_go(tmp_path: Path) -> None:
    with PredictionLog(tmp_path, LogParams(max_rows=100)) as log:
        for number in range(400):
            log.append([prediction(number)])
    numbers = [int(text, 16) for text in log.read()["sha256"]]
    assert len(numbers) <= 100
    assert numbers == list(range(400 - len(numbers), 400))


def test_images_stay_within_the_megabytes(tmp_path: Path) -> None:
    with PredictionLog(tmp_path, LogParams(max_mb=0.1, keep_images=True)) as log:
        for number in range(20):
            log.append([prediction(number, data=os.urandom(10_000))])
            log.flush()
    used = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    assert used <= 100_000
    assert log.image(f"{19:064x}") is not None
    assert log.image(f"{0:064x}") is None


def test_writers_side_by_side_lose_nothing(tmp_path: Path) -> None:
    code = "import sys, test_prediction_log as t; t._write(t.Path(sys.argv[1]), int(sys.argv[2]))"
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path), str(start)],
            cwd=Path(__file__).parent,
            stderr=subprocess.PIPE,
            text=True,
        )
        for start in (0, 1000)
    ]
    for worker in workers:
        _, errors = worker.communicate()
        assert worker.returncode == 0, errors
    numbers = sorted(int(text, 16) for text in PredictionLog(tmp_path, LogParams()).read()["sha256"])
    assert numbers == [*range(50), *range(1000, 1050)]


def test_a_kill_leaves_whole_parts(tmp_path: Path) -> None:
    worker = multiprocessing.get_context("fork").Process(target=_write_for_ever, args=(tmp_path,))
    worker.start()
    while len(list(tmp_path.glob("*.parquet"))) < 3:
        time.sleep(0.01)
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)
    worker.join()
    numbers = [int(text, 16) for text in PredictionLog(tmp_path, LogParams()).read()["sha256"]]
    assert len(numbers) >= 3
    assert numbers == list(range(len(numbers)))


def test_a_trickle_does_not_fill_the_folder_with_files(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, LogParams())
    for number in range(200):
        log.append([prediction(number)])
        log.flush()
    parts = list(tmp_path.glob("*.parquet"))
    assert len(parts) <= merging.MANY
    assert [int(text, 16) for text in log.read()["sha256"]] == list(range(200))
    newest = max(merging.written_at(part) for part in parts)
    assert abs(newest / 1e9 - time.time()) < 600


def test_parts_are_merged_until_they_are_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PART_ROWS", 100)
    log = PredictionLog(tmp_path, LogParams())
    for number in range(600):
        log.append([prediction(number)])
        log.flush()
    sizes = [merging.rows_in(part) for part in tmp_path.glob("*.parquet")]
    assert max(sizes) <= 100
    assert sum(size >= 50 for size in sizes) >= 5
    assert len(log.read()) == 600


@pytest.mark.parametrize("step", ["new", "announced", "in place", "half removed"])
def test_a_merge_that_was_cut_off_leaves_each_row_once(tmp_path: Path, step: str) -> None:
    log = PredictionLog(tmp_path, LogParams())
    for number in range(merging.MANY - 1):
        log.append([prediction(number)])
        log.flush()
    steps = {"new": 0, "announced": 1, "in place": 2, "half removed": 10}
    worker = multiprocessing.get_context("fork").Process(
        target=_write_and_die, args=(tmp_path, merging.MANY - 1, steps[step])
    )
    worker.start()
    worker.join()
    assert worker.exitcode == -signal.SIGKILL
    announcement = tmp_path / merging.ANNOUNCEMENT
    assert announcement.exists() is (step != "new")
    for _ in range(2):
        numbers = [int(text, 16) for text in PredictionLog(tmp_path, LogParams()).read()["sha256"]]
        assert numbers == list(range(merging.MANY))
    assert not announcement.exists()


def test_a_log_that_cannot_be_written_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with PredictionLog(tmp_path, LogParams()) as log:
        log.append([prediction(1)])

    def refuse(*arguments: object, **options: object) -> None:
        raise PermissionError

    monkeypatch.setattr(merging.FileLock, "acquire", refuse)
    assert len(log.read()) == 1


def test_what_a_kill_left_goes_once_it_is_old(tmp_path: Path) -> None:
    for name, age in (("old.new", module._STALE_SECONDS + 60), ("fresh.new", 0)):
        (tmp_path / name).write_bytes(b"half")
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    with PredictionLog(tmp_path, LogParams()) as log:
        log.append([prediction(1)])
    assert [path.name for path in tmp_path.glob("*.new")] == ["fresh.new"]


def test_what_is_no_log_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GraftError, match="There is no prediction log in"):
        PredictionLog(tmp_path / "none", LogParams()).read()
    (tmp_path / "1-2-3.parquet").write_bytes(b"torn")
    with pytest.raises(GraftError, match=r"1-2-3\.parquet is no part of a prediction log"):
        PredictionLog(tmp_path, LogParams()).read()


def _write(folder: Path, start: int) -> None:
    log = PredictionLog(folder, LogParams())
    for number in range(start, start + 50):
        log.append([prediction(number)])
        log.flush()


def _write_and_die(folder: Path, number: int, steps: int) -> None:
    """Writes one row, and is killed after so many steps of the merge that follows: renames and removals."""
    done = -2  # the row's own part is put in place first, and then what is merged is written
    replace, unlink = Path.replace, Path.unlink

    def counted(action: Callable[..., Any]) -> Callable[..., Any]:
        def act(path: Path, *arguments: Any, **options: Any) -> Any:
            nonlocal done
            done += 1
            if done == steps:
                os.kill(os.getpid(), signal.SIGKILL)
            return action(path, *arguments, **options)

        return act

    Path.replace, Path.unlink = counted(replace), counted(unlink)  # type: ignore[method-assign]
    log = PredictionLog(folder, LogParams())
    log.append([prediction(number)])
    log.flush()


def _write_for_ever(folder: Path) -> None:
    log, number = PredictionLog(folder, LogParams()), 0
    while True:
        log.append([prediction(number)])
        log.flush()
        number += 1
