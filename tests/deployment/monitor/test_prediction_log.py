"""The prediction log: whole under writers side by side, kills and full disks, bounded, private."""

import io
import multiprocessing
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from graft.bundle.images import decode
from graft.core.errors import GraftError
from graft.core.params.monitor_params import LogParams
from graft.deployment.monitor import log_file
from graft.deployment.monitor.observation import Observation
from graft.deployment.monitor.prediction_log import LoggedPrediction, PredictionLog
from graft.deployment.monitor.watch_logged import Watcher
from graft.deployment.predict.inputs import Photograph
from graft.deployment.predict.predict_photographs import predict_photographs


def prediction(number: int, **more: Any) -> LoggedPrediction:
    image = Observation(f"{number:064x}", "", 40, 30, 0.5, 100.0, f"{number:016x}")
    return LoggedPrediction(image, "signs version 3", "d" * 64, "stop", 0.75, **more)


def numbers_in(folder: Path, **which: Any) -> list[int]:
    return [int(row.image.sha256, 16) for row in PredictionLog(folder, LogParams()).read(**which)]


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    exact = Observation("0" * 64, "", 4000, 3000, 0.1, 1 / 3, "f" * 16)
    with PredictionLog(tmp_path / "log", LogParams()) as log:
        log.append([LoggedPrediction(exact, "m", "d", "stop", 0.1, np.ones(3, np.float32), "e", b"bytes")])
        log.append([LoggedPrediction(Observation("", "the file is empty"), "m", "d")])
    first, second = log.read()
    assert first.image == exact  # float64, to the last bit
    assert (first.model, first.digest, first.label, first.probability) == ("m", "d", "stop", 0.1)
    assert first.time is not None
    assert abs(first.time - datetime.now(UTC)) < timedelta(minutes=5)
    assert (second.label, second.image.problem) == ("", "the file is empty")
    assert np.isnan(second.probability)
    # Neither embedding nor image unless they are asked for.
    assert (first.embedding, first.embedded_by) == (None, "")
    assert list(log.images([exact.sha256])) == [None]


def test_embeddings_and_images_where_they_are_asked_for(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, LogParams(keep_embeddings=True, keep_images=True))
    log.append([prediction(1, embedding=np.arange(3), embedded_by="e", data=b"bytes")])
    (row,) = log.read()
    assert row.embedding is not None
    np.testing.assert_array_equal(row.embedding, np.arange(3, dtype=np.float32))
    assert row.embedded_by == "e"
    assert list(log.images(["0" * 64, row.image.sha256])) == [None, b"bytes"]


def test_c8_rows_are_there_for_every_reader_as_soon_as_they_are_appended(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, LogParams())
    log.append([prediction(1)])
    code = "import sys, test_prediction_log as t; print(t.numbers_in(t.Path(sys.argv[1])))"
    reader = [sys.executable, "-c", code, str(tmp_path)]
    found = subprocess.run(reader, cwd=Path(__file__).parent, capture_output=True, text=True)
    assert found.stdout == "[1]\n", found.stderr


def test_readers_ask_for_what_is_new_to_them(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, LogParams(max_rows=4))
    log.append([prediction(1), prediction(2)])
    assert log.marked("retraining") == 0
    log.mark("retraining", log.last())
    log.append([prediction(3)])
    assert numbers_in(tmp_path, after=log.marked("retraining")) == [3]
    assert log.count(after=log.marked("retraining")) == 1
    assert numbers_in(tmp_path, newest_first=True) == [3, 2, 1]
    hour = timedelta(hours=1)
    assert numbers_in(tmp_path, since=datetime.now(UTC) - hour) == [1, 2, 3]
    assert log.count(datetime.now(UTC) + hour) == 0
    # What goes takes no number along: a mark stays right.
    log.append([prediction(number) for number in range(4, 9)])
    assert numbers_in(tmp_path, after=log.marked("retraining")) == [5, 6, 7, 8]


def test_a_reader_sees_one_state_while_rows_come_and_go(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, LogParams(max_rows=3))
    log.append([prediction(1), prediction(2), prediction(3)])
    rows = log.read()
    found = [next(rows)]
    log.append([prediction(4), prediction(5)])
    assert [int(row.image.sha256, 16) for row in [*found, *rows]] == [1, 2, 3]
    assert numbers_in(tmp_path) == [3, 4, 5]


def test_the_oldest_rows_go_and_their_images_with_them(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, LogParams(max_rows=10, keep_images=True))
    for number in range(40):
        log.append([prediction(number, data=b"image")])
    assert numbers_in(tmp_path) == list(range(30, 40))
    kept = [data is not None for data in log.images(f"{number:064x}" for number in range(40))]
    assert kept == [False] * 30 + [True] * 10


def test_an_image_that_came_again_stays_with_its_last_row(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, LogParams(max_rows=2, keep_images=True))
    for number in (1, 2, 1, 3):
        log.append([prediction(number, data=b"image")])
    assert list(log.images(f"{number:064x}" for number in (1, 2, 3))) == [b"image", None, b"image"]


@pytest.mark.parametrize("size", [10_000, 300_000])
def test_what_is_kept_stays_within_the_megabytes_and_fills_them(tmp_path: Path, size: int) -> None:
    limit = 20 * size
    with PredictionLog(tmp_path, LogParams(max_mb=limit / 1e6, keep_images=True)) as log:
        for number in range(40):
            log.append([prediction(number, data=os.urandom(size))])
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) <= limit
    numbers = numbers_in(tmp_path)
    assert numbers == list(range(40 - len(numbers), 40))
    assert len(numbers) >= 12
    assert None not in list(log.images(f"{number:064x}" for number in numbers))


def test_a10_nobody_else_can_read_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "log"
    before = os.umask(0)
    try:
        folder.mkdir(mode=0o777)
        log = PredictionLog(folder, LogParams(keep_images=True))
        log.append([prediction(1, data=b"image")])
        found = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {log_file.FILE, f"{log_file.FILE}-wal", f"{log_file.FILE}-shm"} <= set(found)
    del found[".lock"]  # empty
    assert set(found.values()) == {0o600}
    # Also where somebody has opened it since.
    (folder / log_file.FILE).chmod(0o644)
    PredictionLog(folder, LogParams()).append([prediction(2)])
    assert stat.S_IMODE((folder / log_file.FILE).stat().st_mode) == 0o600


def test_writers_side_by_side_lose_nothing(tmp_path: Path) -> None:
    code = "import sys, test_prediction_log as t; t._write(t.Path(sys.argv[1]), int(sys.argv[2]))"
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path), str(start)],
            cwd=Path(__file__).parent,
            stderr=subprocess.PIPE,
            text=True,
        )
        for start in (0, 1000, 2000)
    ]
    for worker in workers:
        _, errors = worker.communicate()
        assert worker.returncode == 0, errors
    assert sorted(numbers_in(tmp_path)) == [*range(50), *range(1000, 1050), *range(2000, 2050)]


def test_a_kill_loses_no_row_that_was_appended(tmp_path: Path) -> None:
    said, says = multiprocessing.get_context("fork").Pipe(duplex=False)
    worker = multiprocessing.get_context("fork").Process(target=_write_for_ever, args=(tmp_path, says))
    worker.start()
    appended = [said.recv() for _ in range(20)][-1]
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)
    worker.join()
    while said.poll():
        appended = said.recv()
    numbers = numbers_in(tmp_path)
    assert numbers == list(range(len(numbers)))
    assert len(numbers) > appended
    with PredictionLog(tmp_path, LogParams()) as log:
        log.append([prediction(len(numbers))])
    assert len(numbers_in(tmp_path)) == len(numbers) + 1


def test_a_full_disk_is_said_and_rows_are_taken_again_once_there_is_room(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, LogParams(keep_images=True))
    log.append([prediction(1)])
    connection = log._file.open()
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")  # SQLite then says what it says of a full disk
    with pytest.raises(GraftError, match=r"predictions\.sqlite: database or disk is full.*Make room"):
        log.append([prediction(2, data=bytes(100_000)), prediction(3)])
    assert numbers_in(tmp_path) == [1]  # all of an append, or nothing
    connection.execute("PRAGMA max_page_count = 1000000")
    log.append([prediction(4)])
    assert numbers_in(tmp_path) == [1, 4]


@pytest.mark.parametrize("moved", ["deleted", "replaced"])
def test_rows_go_into_the_file_that_is_there_now(tmp_path: Path, moved: str) -> None:
    log = PredictionLog(tmp_path / "log", LogParams())
    log.append([prediction(1)])
    (tmp_path / "log").rename(tmp_path / "old")
    other = PredictionLog(tmp_path / "log", LogParams())
    if moved == "replaced":
        other.append([prediction(2)])
    log.append([prediction(3)])
    log.close()
    other.close()
    assert numbers_in(tmp_path / "log") == ([2, 3] if moved == "replaced" else [3])
    assert numbers_in(tmp_path / "old") == [1]


@pytest.mark.parametrize("damage", [b"this is no database", b"SQLite format 3\0" + bytes(200)])
def test_a_damaged_file_is_set_aside_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: bytes) -> None:
    with PredictionLog(tmp_path, LogParams()) as log:
        log.append([prediction(1)])
    (tmp_path / log_file.FILE).write_bytes(damage)
    with pytest.raises(GraftError, match=r"predictions\.sqlite cannot be read: .*move it away"):
        numbers_in(tmp_path)
    writers = [PredictionLog(tmp_path, LogParams()) for _ in range(2)]
    for number, writer in enumerate(writers):
        writer.append([prediction(number)])
    assert numbers_in(tmp_path) == [0, 1]
    (aside,) = tmp_path.glob(f"{log_file.FILE}.damaged-*")
    assert aside.read_bytes() == damage
    (said,) = [record.getMessage() for record in caplog.records]
    assert f"it is set aside as {aside.name}, and a new log begins" in said


def test_an_empty_file_is_a_log_without_rows(tmp_path: Path) -> None:
    (tmp_path / log_file.FILE).touch()
    PredictionLog(tmp_path, LogParams()).append([prediction(1)])
    assert numbers_in(tmp_path) == [1]


def test_of_two_who_find_the_damage_one_sets_it_aside(tmp_path: Path) -> None:
    first, second = (PredictionLog(tmp_path, LogParams()) for _ in range(2))
    for log in (first, second):
        log.append([prediction(1)])
    error = sqlite3.DatabaseError("database disk image is malformed")
    first._file.set_aside(error)
    first.append([prediction(2)])
    second._file.set_aside(error)
    second.append([prediction(3)])
    assert numbers_in(tmp_path) == [2, 3]
    assert len(list(tmp_path.glob("*.damaged-*[0-9]"))) == 1


def test_a_log_that_cannot_be_written_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with PredictionLog(tmp_path, LogParams()) as log:
        log.append([prediction(1)])
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert numbers_in(tmp_path) == [1]


def test_what_is_no_log_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GraftError, match="There is no prediction log in"):
        numbers_in(tmp_path / "none")
    with PredictionLog(tmp_path, LogParams()) as log:
        log.append([prediction(1)])
    with sqlite3.connect(tmp_path / log_file.FILE) as connection:
        connection.execute("PRAGMA user_version = 99")
    for use in (lambda: numbers_in(tmp_path), lambda: log.append([prediction(2)])):
        with pytest.raises(GraftError, match=r"has version 99, and this graft knows 1"):
            use()


def test_an_answer_meets_the_photograph_that_it_is_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of one name, as a tar file may hold, of which the first is read last."""
    monkeypatch.setattr("graft.core.threads.cores", lambda: 2)
    second_is_read = threading.Event()
    red, blue = (picture(colour) for colour in ("red", "blue"))

    def read_first() -> bytes:
        assert second_is_read.wait(60)
        return red

    def read_second() -> bytes:
        second_is_read.set()
        return blue

    log = PredictionLog(tmp_path, LogParams())
    watcher = Watcher(log, "m", "d", ["red", "blue"], 10_000)
    photographs = [Photograph("same.png", read_first), Photograph("same.png", read_second)]
    classifier = SimpleNamespace(
        classes=["red", "blue"],
        image_sizes=[1],
        to_pixels=lambda data: {1: decode(data, 1)},
        answers=lambda pixels: (found := pixels[1].reshape(-1, 3)[:, [0, 2]] / np.float32(255), found.argmax(axis=1)),
    )
    for answers in predict_photographs(classifier, watcher.watch(photographs)):
        watcher.log(answers)
    found = [(row.label, row.image.sha256) for row in log.read()]
    assert found == [(name, sha256(data).hexdigest()) for name, data in (("red", red), ("blue", blue))]


def picture(colour: str) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(stream, "PNG")
    return stream.getvalue()


def _write(folder: Path, start: int) -> None:
    with PredictionLog(folder, LogParams()) as log:
        for number in range(start, start + 50):
            log.append([prediction(number)])


def _write_for_ever(folder: Path, says: Any) -> None:
    log, number = PredictionLog(folder, LogParams()), 0
    while True:
        log.append([prediction(number)])
        says.send(number)
        number += 1
        time.sleep(0.001)
