"""The answers in a log against labels that came later."""

import math
from datetime import UTC, datetime
from pathlib import Path

import pytest

from graft.core.errors import GraftError
from graft.core.files import sha256_of
from graft.core.params.monitor_params import LogParams
from graft.deployment.monitor.observation import Observation
from graft.deployment.monitor.prediction_log import LoggedPrediction, PredictionLog
from graft.deployment.monitor.reached import TrueLabel, reached, read_truth


def row(sha256: str, label: str, probability: float, model: str = "m 1", problem: str = "") -> LoggedPrediction:
    return LoggedPrediction(Observation(sha256, problem), model, "d", label, probability)


@pytest.fixture
def log(tmp_path: Path) -> PredictionLog:
    found = PredictionLog(tmp_path / "log", LogParams())
    found.append([row(f"a{number}", "ant", 0.9) for number in range(8)])
    found.append([row(f"b{number}", "bee", 0.6, "m 2") for number in range(4)])
    found.append([row("c0", "unknown", 0.4), row("c1", "ant", 0.5), row("gone", "", math.nan, problem="cut off")])
    found.append([row("b0", "ant", 0.7, "m 2")])  # asked again
    found.close()
    return found


def truth() -> dict[str, TrueLabel]:
    labels = {**{f"a{number}": "ant" for number in range(6)}, "b0": "ant", "b1": "bee", "c0": "cow", "c1": "cow"}
    return {sha256: TrueLabel(label, sha256) for sha256, label in {**labels, "never": "ant"}.items()}


def test_answers_are_counted_by_class_week_and_model(log: PredictionLog) -> None:
    found = reached(log, truth())
    assert found.total is not None
    assert (found.total.images, found.total.unknown, found.missing) == (10, 1, 1)
    assert found.total.right == pytest.approx(8 / 9)  # all but the cow that was called an ant
    assert found.total.low < 8 / 9 < found.total.high
    assert found.total.expected == pytest.approx((6 * 0.9 + 0.7 + 0.6 + 0.5) / 9)
    assert [(one.name, one.images, one.right) for one in found.classes] == [("ant", 7, 1), ("bee", 1, 1), ("cow", 2, 0)]
    assert [(one.name, one.images) for one in found.models] == [("m 1", 8), ("m 2", 2)]
    year, week, _ = datetime.now(UTC).isocalendar()
    assert [one.name for one in found.weeks] == [f"{year}-W{week:02}"]
    assert found.new_classes == {"cow": 2}


def test_what_has_no_label_says_what_it_promises(log: PredictionLog) -> None:
    found = reached(log, {})
    assert found.total is None
    assert found.unlabelled.images == 14
    assert math.isnan(found.unlabelled.right)
    assert found.unlabelled.expected == pytest.approx((8 * 0.9 + 3 * 0.6 + 0.7 + 0.5) / 13)


def test_images_of_one_group_count_as_one(log: PredictionLog) -> None:
    alone = reached(log, truth()).total
    together = reached(log, {sha256: TrueLabel(one.label, sha256[0]) for sha256, one in truth().items()}).total
    assert alone is not None
    assert together is not None
    assert together.high - together.low > alone.high - alone.low


def test_labels_are_read_by_hash_or_by_path(tmp_path: Path) -> None:
    (tmp_path / "one.jpg").write_bytes(b"one")
    (tmp_path / "by_path.csv").write_text("path,label,group\none.jpg,ant,g\n")
    (tmp_path / "by_hash.csv").write_text(f"sha256,label\n{sha256_of(tmp_path / 'one.jpg')},ant\n")
    (sha256,) = found = read_truth(tmp_path / "by_path.csv")
    assert found[sha256] == TrueLabel("ant", "g")
    assert read_truth(tmp_path / "by_hash.csv") == {sha256: TrueLabel("ant", sha256)}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name,label\na,b\n", "has the columns name, label"),
        ("path,label\nnowhere.jpg,b\n", "cannot be read"),
        ("sha256,label\na,ant\na,bee\n", "'ant' and 'bee'"),
    ],
)
def test_a_table_that_is_none_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(GraftError, match=said):
        read_truth(tmp_path / "labels.csv")
