"""What was answered is logged behind the answers: within bounds, whatever the disk does, and to the last row."""

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from malformed import encoded
from running import LIMIT_SECONDS

from graft.core.errors import GraftError
from graft.core.params.monitor_params import LogParams
from graft.core.project import Project
from graft.deployment.monitor.observation import Observation, observe
from graft.deployment.monitor.prediction_log import LoggedPrediction, PredictionLog
from graft.deployment.server import log_writer as module
from graft.deployment.server.log_writer import LEAST_BYTES, Asked, LogWriter, prediction_log
from graft.deployment.server.server_metrics import LOG_OUTCOMES, Metrics
from graft.registry.resolve import ResolvedModel

FIRST = ResolvedModel(Path("bundle"), "signs", "3", "champion", "1" * 64)
SECOND = replace(FIRST, version="4", digest="2" * 64)
IMAGES = [encoded(seed=seed) for seed in range(4)]


def asked(number: int = 0, **more: Any) -> Asked:
    return Asked(IMAGES[number], FIRST, 10_000, "stop", 0.75, **more)


def rows_of(folder: Path) -> list[LoggedPrediction]:
    return list(PredictionLog(folder, LogParams()).read())


def outcomes(metrics: Metrics) -> dict[str, float]:
    name = "graft_prediction_log_images_total"
    return {one: metrics.registry.get_sample_value(name, {"outcome": one}) or 0.0 for one in LOG_OUTCOMES}


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_rows_say_what_was_seen_and_which_model_answered(tmp_path: Path) -> None:
    metrics = Metrics()
    writer = LogWriter(PredictionLog(tmp_path, LogParams()), 10**7, metrics)
    writer.start(lambda: False)
    writer.put([asked(0)])
    writer.put([Asked(IMAGES[1], SECOND, 10_000, "go", 0.5), Asked(b"?", SECOND, 10_000, problem="no image")])
    writer.stop()
    first, second, third = rows_of(tmp_path)
    seen = observe(IMAGES[0], 10_000)
    assert first.image == replace(seen, thumbnail=b"")
    assert (first.label, first.probability) == ("stop", 0.75)
    assert (first.model, first.digest) == ("signs version 3 (champion)", "1" * 64)
    assert (second.label, second.model, second.digest) == ("go", "signs version 4 (champion)", "2" * 64)
    assert (third.label, third.image.problem, third.image.width) == ("", "no image", 0)
    assert np.isnan(third.probability)
    assert [row.embedding for row in (first, second, third)] == [None] * 3
    assert outcomes(metrics) == {"written": 3, "dropped": 0, "failed": 0}
    assert list(PredictionLog(tmp_path, LogParams()).images([seen.sha256])) == [None]


def test_images_are_kept_where_that_is_wanted_and_they_are_images(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, LogParams(keep_images=True))
    writer = LogWriter(log, 10**7, Metrics())
    writer.start(lambda: False)
    writer.put([asked(0), Asked(b"?", FIRST, 10_000, problem="no image")])
    writer.stop()
    first, second = rows_of(tmp_path)
    assert list(log.images([first.image.sha256, second.image.sha256])) == [IMAGES[0], None]


def test_what_does_not_fit_is_dropped_and_counted(tmp_path: Path) -> None:
    metrics = Metrics()
    # Room for two small images or one that is larger than half of it.
    writer = LogWriter(PredictionLog(tmp_path, LogParams()), 2 * LEAST_BYTES, metrics)
    large = replace(asked(0), data=bytes(LEAST_BYTES + 1))
    writer.put([asked(0), large, asked(1), asked(2)])
    assert outcomes(metrics) == {"written": 0, "dropped": 2, "failed": 0}
    writer.start(lambda: False)
    # Room again, once the first are looked at.
    wait_until(lambda: writer._held == 0)
    writer.put([large, asked(3)])
    writer.stop()
    logged = [row.image.sha256 for row in rows_of(tmp_path)]
    assert logged == [observe(data, 10_000).sha256 for data in (IMAGES[0], IMAGES[1], large.data)]
    assert outcomes(metrics) == {"written": 3, "dropped": 3, "failed": 0}


def test_a_disk_that_takes_nothing_costs_rows_and_no_more(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "graft.deployment.server")
    metrics = Metrics()
    folder = tmp_path / "log"
    folder.write_text("in the way")
    writer = LogWriter(PredictionLog(folder, LogParams()), 10**7, metrics)
    writer.start(lambda: False)
    writer.put([asked(0), asked(1)])
    wait_until(lambda: outcomes(metrics)["failed"] == 2)
    folder.unlink()
    writer.put([asked(2)])
    writer.stop()
    assert [row.image.sha256 for row in rows_of(folder)] == [observe(IMAGES[2], 10_000).sha256]
    assert outcomes(metrics) == {"written": 1, "dropped": 0, "failed": 2}
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert said[0].startswith(f"A prediction is not logged: Nothing can be logged in {folder}/predictions.sqlite: ")
    assert said[1] == "Predictions are logged again; 2 were not"


def test_an_image_that_cannot_be_looked_at_costs_one_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def look(data: bytes, max_pixels: int) -> Observation:
        if data == IMAGES[0]:
            raise ArithmeticError("of a reader")
        return observe(data, max_pixels)

    monkeypatch.setattr(module, "observe", look)
    metrics = Metrics()
    writer = LogWriter(PredictionLog(tmp_path, LogParams()), 10**7, metrics)
    writer.start(lambda: False)
    writer.put([asked(1), asked(0), asked(2)])
    writer.stop()
    assert len(rows_of(tmp_path)) == 2
    assert outcomes(metrics) == {"written": 2, "dropped": 0, "failed": 1}


def test_c8_a_row_can_be_read_while_the_server_goes_on(tmp_path: Path) -> None:
    metrics = Metrics()
    writer = LogWriter(PredictionLog(tmp_path, LogParams()), 10**7, metrics)
    writer.start(lambda: False)
    writer.put([asked(0)])
    wait_until(lambda: outcomes(metrics)["written"] == 1)
    assert len(rows_of(tmp_path)) == 1
    writer.stop()


def test_requests_under_way_go_first_and_the_end_makes_up_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STRETCH_SECONDS", 0.0)
    monkeypatch.setattr(module, "REST", 1e9)
    writer = LogWriter(PredictionLog(tmp_path, LogParams()), 10**7, Metrics())
    writer.put([asked(0), asked(1), asked(2)])
    writer.start(lambda: True)
    wait_until(lambda: writer._held == 2 * LEAST_BYTES)
    assert len(writer._waiting) == 2
    writer.stop()
    assert len(rows_of(tmp_path)) == 3


def test_the_end_does_not_wait_for_a_full_queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entered, free = threading.Event(), threading.Event()

    def look(one: Asked) -> LoggedPrediction:
        entered.set()
        assert free.wait(LIMIT_SECONDS)
        return LoggedPrediction(Observation("0" * 64), "m", "d")

    monkeypatch.setattr(module, "_look", look)
    metrics = Metrics()
    writer = LogWriter(PredictionLog(tmp_path, LogParams()), 10**7, metrics, stop_seconds=0)
    writer.start(lambda: False)
    writer.put([asked(0), asked(1), asked(2)])
    assert entered.wait(LIMIT_SECONDS)
    ending = threading.Thread(target=writer.stop)
    ending.start()
    wait_until(lambda: writer._stop_at is not None)
    writer.put([asked(3)])
    free.set()
    ending.join(LIMIT_SECONDS)
    assert len(rows_of(tmp_path)) == 1
    assert outcomes(metrics) == {"written": 1, "dropped": 3, "failed": 0}


@pytest.mark.parametrize(
    ("enabled", "wanted", "there"),
    [(False, None, False), (True, None, True), (False, True, True), (True, False, False)],
)
def test_whether_there_is_a_log(tmp_path: Path, enabled: bool, wanted: bool | None, there: bool) -> None:
    project = Project(tmp_path)
    found = prediction_log(project, LogParams(enabled=enabled), wanted)
    assert (found is not None) == there
    if found is not None:
        assert found.folder == project.prediction_log


def test_embeddings_are_not_kept_and_nobody_is_left_to_think_so(tmp_path: Path) -> None:
    params = LogParams(enabled=True, keep_embeddings=True)
    with pytest.raises(GraftError, match=r"keep_embeddings is true .* keep_images to true, .* --no-log"):
        prediction_log(Project(tmp_path), params)
    assert prediction_log(Project(tmp_path), params, wanted=False) is None


def test_all_that_a_look_needs_is_imported_before_any_thread_runs(tmp_path: Path) -> None:
    """While a champion imports TensorFlow in another thread, SciPy cannot be found, and the log died of it."""
    code = """
import sys, threading
from pathlib import Path
from graft.core.params.monitor_params import LogParams
from graft.deployment.monitor.prediction_log import PredictionLog
from graft.deployment.server.log_writer import LogWriter
from graft.deployment.server.server_metrics import Metrics
LogWriter(PredictionLog(Path(sys.argv[1]), LogParams()), 10**7, Metrics())
assert {"imagehash", "scipy.fftpack"} <= set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code, tmp_path], check=True, timeout=LIMIT_SECONDS)
