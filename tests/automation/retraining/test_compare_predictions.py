"""Logged predictions held against the training images by a retraining, and what it makes of drift."""

import shutil
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from photo_folders import DVC_CONFIG
from small_project import REPOSITORY, shell

from graft.automation.retraining.reasons import Compared, compare_predictions, remember
from graft.automation.retraining.retraining import Retraining
from graft.core.errors import GraftError
from graft.core.params import Params, load_params
from graft.core.project import Project
from graft.deployment.monitor.log_file import FILE
from graft.deployment.monitor.log_samples import FIGURES, Sample
from graft.deployment.monitor.monitor_predictions import DriftReport
from graft.deployment.monitor.observation import Observation
from graft.deployment.monitor.prediction_log import LoggedPrediction, PredictionLog

SETTINGS = {"min_images: 30 ": "min_images: 5 "}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    write_params(tmp_path)
    return Project(tmp_path)


def write_params(root: Path, **retrain: str) -> Params:
    text = (REPOSITORY / "params.yaml").read_text(encoding="utf-8")
    changes = {**SETTINGS, **{f"{name}: report ": f"{name}: {value} " for name, value in retrain.items()}}
    for old, new in changes.items():
        assert text.count(old) == 1
        text = text.replace(old, new)
    (root / "params.yaml").write_text(text, encoding="utf-8")
    return load_params(root / "params.yaml")


def log_predictions(project: Project, count: int, first: int = 0) -> None:
    with PredictionLog(project.prediction_log, load_params(project.params_file).monitor.log) as log:
        for number in range(first, first + count):
            image = Observation(f"{number:064x}", "", 40, 30, 0.5, 100.0, f"{number:016x}")
            log.append([LoggedPrediction(image, "signs version 3", "d" * 64, "stop", 0.75)])


class Comparison:
    """In place of the comparison itself, which takes a backbone: keeps what it is asked, and says what it shall."""

    def __init__(self) -> None:
        self.drift = True
        self.error: Exception | None = None
        self.compared: list[int] = []

    def __call__(
        self, project: Project, params: Params, folder: Path, since: None, model: None, after: int
    ) -> DriftReport:
        self.compared.append(PredictionLog(folder, params.monitor.log).count(after=after))
        if self.error:
            raise self.error
        side = Sample({name: np.ones(5) for name in FIGURES}, 40, 0)
        now = datetime.now(UTC)
        return DriftReport("signs", str(folder), now, "", "a backbone", 0.01, [], {}, side, side, self.drift)


@pytest.fixture
def comparison(monkeypatch: pytest.MonkeyPatch) -> Comparison:
    mine = Comparison()
    monkeypatch.setattr("graft.deployment.monitor.monitor_predictions.monitor_log", mine)
    return mine


def compare(project: Project) -> Compared | None:
    """As a retraining that ends well does."""
    found = compare_predictions(project, load_params(project.params_file))
    if found is not None:
        remember(project, found)
    return found


def test_where_nothing_is_logged_nothing_is_loaded(project: Project) -> None:
    code = (
        "import sys; from pathlib import Path; from graft.core.params import load_params;"
        "from graft.core.project import Project; from graft.automation.retraining.reasons import compare_predictions;"
        "project = Project(Path.cwd());"
        "print(compare_predictions(project, load_params(project.params_file)));"
        "print(*{'tensorflow', 'keras', 'numpy', 'pandas', 'pyarrow', 'mlflow'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=project.root, capture_output=True, text=True)
    assert done.stdout == "None\n\n", done.stderr
    assert not project.state.exists()


def test_of_too_few_predictions_nothing_is_said(project: Project, comparison: Comparison) -> None:
    log_predictions(project, 4)
    assert compare(project) is None
    log_predictions(project, 1, first=4)
    assert compare(project) is not None
    assert comparison.compared == [5]


def test_drift_is_told_with_where_to_look(project: Project, comparison: Comparison) -> None:
    log_predictions(project, 8)
    compared = compare(project)
    assert compared is not None
    assert compared.drift
    assert compared.words.startswith("Drift: of 40 recent images, all but 5 nearly repeat another one")
    assert "See .graft/state/monitor/" in compared.words
    page = (project.root / compared.words.split()[-1]).read_text(encoding="utf-8")
    assert "Drift: of 40 recent images" in page


def test_m3_a_champion_that_its_libraries_cannot_load_stops_no_retraining(
    project: Project, comparison: Comparison
) -> None:
    log_predictions(project, 8)
    comparison.error = ValueError("Unknown layer: 'Attention'")
    compared = compare(project)
    assert compared == Compared(False, "Logged predictions were not compared: Unknown layer: 'Attention'")


def test_no_drift_is_told_too(project: Project, comparison: Comparison) -> None:
    comparison.drift = False
    log_predictions(project, 8)
    compared = compare(project)
    assert compared is not None
    assert not compared.drift
    assert compared.words.startswith("No drift in 0 checks")


def test_each_prediction_is_compared_once(project: Project, comparison: Comparison) -> None:
    log_predictions(project, 8)
    assert compare(project) is not None
    assert compare(project) is None
    log_predictions(project, 4, first=8)
    assert compare(project) is None
    log_predictions(project, 3, first=12)
    assert compare(project) is not None
    assert comparison.compared == [8, 7]


def test_c8_rows_of_a_clock_that_was_set_back_are_compared(project: Project, comparison: Comparison) -> None:
    log_predictions(project, 8)
    assert compare(project) is not None
    with sqlite3.connect(project.prediction_log / FILE) as connection:
        connection.execute("UPDATE predictions SET time = time + 86400")
    log_predictions(project, 6, first=8)
    assert compare(project) is not None
    assert comparison.compared == [8, 6]


def test_c8_a_new_log_is_compared_from_its_beginning(project: Project, comparison: Comparison) -> None:
    log_predictions(project, 8)
    assert compare(project) is not None
    shutil.rmtree(project.prediction_log)
    log_predictions(project, 9)
    assert compare(project) is not None
    assert comparison.compared == [8, 9]


def test_what_a_run_that_failed_has_compared_is_compared_again(project: Project, comparison: Comparison) -> None:
    log_predictions(project, 8)
    params = load_params(project.params_file)
    retraining = Retraining(project, params)
    with pytest.raises(OSError, match="full"), retraining.running():
        retraining._compare_predictions()
        raise OSError("the disk is full")
    again = Retraining(project, params)
    with again.running():
        again._compare_predictions()
    assert compare(project) is None
    assert comparison.compared == [8, 8]


def test_a_comparison_that_cannot_be_made_is_told_and_tried_again(project: Project, comparison: Comparison) -> None:
    log_predictions(project, 8)
    comparison.error = GraftError("There is no manifest", "Make it")
    why = "Logged predictions were not compared: There is no manifest. Make it."
    assert compare(project) == Compared(False, why)
    comparison.error = None
    assert compare(project) is not None
    assert comparison.compared == [8, 8]


def test_a_damaged_log_stops_no_retraining(project: Project, comparison: Comparison) -> None:
    log_predictions(project, 8)
    part = project.prediction_log / FILE
    part.write_bytes(bytes(100))
    compared = compare(project)
    assert compared is not None
    assert not compared.drift
    assert compared.words.startswith("Logged predictions were not compared: ")
    assert part.name in compared.words


class TestDeciding:
    """What a retraining makes of it, where nothing else is a reason to train."""

    @pytest.fixture
    def project(self, tmp_path: Path) -> Project:
        (tmp_path / ".dvc").mkdir()
        (tmp_path / ".dvc/config").write_text(DVC_CONFIG)
        (tmp_path / "dvc.yaml").write_text("stages: {}\n")
        (tmp_path / "dvc.lock").write_text("schema: '2.0'\n")
        who = ("-c", "user.name=a tester", "-c", "user.email=tester@localhost")
        for words in (("init", "-q", "-b", "main"), ("add", "-A"), (*who, "commit", "-q", "-m", "First")):
            shell(tmp_path, "git", *words)
        return Project(tmp_path)

    @pytest.fixture
    def asked(self, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
        """How often predictions were compared; there is drift."""
        calls: list[Any] = []

        def drifted(*arguments: object) -> Compared | None:
            calls.append(arguments)
            return self.found

        self.found: Compared | None = Compared(True, "Drift in brightness.")
        monkeypatch.setattr("graft.automation.retraining.reasons.compare_predictions", drifted)
        return calls

    def test_drift_is_a_reason_to_train_anew_where_it_shall_be(self, project: Project, asked: list[Any]) -> None:
        retraining = Retraining(project, write_params(project.root, drift="retrain"))
        assert retraining.decide() is True
        assert retraining.outcome.reasons == ["drift of what the model is asked"]
        assert retraining.outcome.drift == "Drift in brightness."
        assert retraining.forced  # else DVC would find nothing changed

    def test_it_is_only_told_where_it_shall_be(self, project: Project, asked: list[Any]) -> None:
        retraining = Retraining(project, write_params(project.root))
        assert retraining.decide() is False
        assert retraining.outcome.reasons == []
        assert retraining.outcome.drift == "Drift in brightness."
        assert not retraining.forced

    def test_nobody_looks_where_it_is_off(self, project: Project, asked: list[Any]) -> None:
        retraining = Retraining(project, write_params(project.root, drift='"off"'))
        assert retraining.decide() is False
        assert retraining.outcome.drift == ""
        assert asked == []

    @pytest.mark.parametrize("found", [None, Compared(False, "No drift in 8 checks.")])
    def test_without_drift_there_is_no_reason(self, project: Project, asked: list[Any], found: Compared | None) -> None:
        self.found = found
        retraining = Retraining(project, write_params(project.root, drift="retrain"))
        assert retraining.decide() is False
        assert retraining.outcome.drift == (found.words if found else "")
        assert not retraining.forced
        assert len(asked) == 1
