"""`graft predict` as it is typed."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from graft.cli.main import app
from graft.inference.model import ImageClassifier
from graft.project import Project

pytestmark = pytest.mark.usefixtures("no_outside_settings")


@pytest.fixture
def project(recorded: Project, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with photographs and a trained strategy; the working directory."""
    root = tmp_path / "project"
    shutil.copytree(recorded.root, root, ignore=shutil.ignore_patterns("mlartifacts"))
    shutil.copy(repository / "params.yaml", root / "params.yaml")
    monkeypatch.chdir(root)
    monkeypatch.setenv("COLUMNS", "200")
    (root / "data" / "red" / "broken.png").write_bytes(b"nothing")
    return Project(root)


def run(*arguments: str, fails: bool = False) -> str:
    result = CliRunner().invoke(app, ["predict", *arguments, "--model", "artifacts/train/first"])
    assert (result.exit_code != 0) == fails, result.output
    return result.output + (str(result.exception) if result.exception else "")


def test_a_table_on_the_terminal(project: Project) -> None:
    text = run("data/red/train-3.png", "data/red/broken.png")
    model = ImageClassifier(project.strategy("first") / "model")
    answer = model.predict([project.data / "red" / "train-3.png"]).iloc[0]
    assert "first: 3 classes" in text
    (line,) = [line for line in text.splitlines() if line.startswith("data/red/train-3.png")]
    assert line.split()[1:] == [answer["label"], f"{answer['probability']:.2%}"]
    assert "not read: not an image that can be read" in text
    assert f"1 photograph: {answer['label']} 1" in text
    assert "1 could not be read" in text


def test_all_of_a_folder_into_a_file(project: Project) -> None:
    text = run("data", "--out", "out.parquet")
    frame = pd.read_parquet(project.root / "out.parquet")
    files = sorted(path.relative_to(project.root).as_posix() for path in project.data.rglob("*.png"))
    assert frame["path"].tolist() == files
    assert frame["problem"].notna().sum() == 1
    read = frame[frame["problem"].isna()]
    answers = ImageClassifier(project.strategy("first") / "model").predict(
        [project.root / path for path in read["path"]]
    )
    assert read["label"].tolist() == answers["label"].tolist()
    assert read["probability"].tolist() == pytest.approx(answers["probability"].tolist(), abs=1e-5)
    assert f"{len(read)} photographs in out.parquet" in text
    assert f"Photographs: {len(files)} in" in text


def test_a_file_that_is_there_is_kept(project: Project) -> None:
    out = project.root / "out.csv"
    out.write_text("mine")
    assert "out.csv is there already" in run("data", "--out", "out.csv", fails=True)
    assert out.read_text() == "mine"
    run("data", "--out", "out.csv", "--replace")
    assert out.read_text().startswith("path,label,probability,problem,p_blue,p_green,p_red\n")


def test_a_run_that_was_stopped_carries_on(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    from graft.prediction import predict, results

    monkeypatch.setattr(predict, "CHUNK", 10)
    monkeypatch.setattr(results, "PART_ROWS", 10)
    shown = []
    original = ImageClassifier.probabilities

    def stop_at_the_third(self: ImageClassifier, pixels: dict[int, object]) -> object:
        (of_size,) = pixels.values()
        shown.append(len(of_size))  # type: ignore[arg-type]
        if len(shown) == 3:
            raise KeyboardInterrupt
        return original(self, pixels)  # type: ignore[arg-type]

    monkeypatch.setattr(ImageClassifier, "probabilities", stop_at_the_third)
    run("data", "--out", "out.jsonl", fails=True)
    assert not (project.root / "out.jsonl").exists()
    shown[:] = [0, 0, 0]
    text = run("data", "--out", "out.jsonl")
    total = sum(1 for _ in project.data.rglob("*.png"))
    assert f"20 of {total} are in out.jsonl.partial already" in text
    assert sum(shown) == total - 20 - 1 + shown_broken(project)
    rows = [json.loads(line) for line in (project.root / "out.jsonl").read_text().splitlines()]
    assert len({row["path"] for row in rows}) == len(rows) == total
    assert not (project.root / "out.jsonl.partial").exists()


def shown_broken(project: Project) -> int:
    """1 where the broken image was among the 20 that were done first."""
    files = sorted(project.data.rglob("*.png"))
    return int(project.data / "red" / "broken.png" in files[:20])


def test_predictions_are_logged_where_that_is_wanted(project: Project) -> None:
    from graft.monitoring.log import PredictionLog
    from graft.params.monitor import LogParams

    run("data", "--out", "out.parquet")
    assert not project.prediction_log.exists()
    run("data", "--out", "again.parquet", "--log")
    answers = pd.read_parquet(project.root / "again.parquet").fillna({"label": "", "problem": ""})
    logged = PredictionLog(project.prediction_log, LogParams()).read()
    assert logged["label"].tolist() == answers["label"].tolist()
    assert logged["problem"].tolist() == answers["problem"].tolist()
    assert logged["probability"].tolist() == pytest.approx(answers["probability"].tolist(), nan_ok=True)
    digests = [hashlib.sha256((project.root / path).read_bytes()).hexdigest() for path in answers["path"]]
    assert logged["sha256"].tolist() == digests
    text = (project.root / "params.yaml").read_text()
    (project.root / "params.yaml").write_text(text.replace("enabled: false", "enabled: true", 1))
    run("data/red", "--out", "more.parquet")
    assert len(PredictionLog(project.prediction_log, LogParams()).read()) > len(logged)
    run("data/red", "--out", "no.parquet", "--no-log")


def test_nothing_that_could_be_read_is_a_failure(project: Project) -> None:
    text = run("data/red/broken.png", fails=True)
    assert "0 photographs: none" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "There is no nowhere"),
        (["data", "--out", "out.xlsx"], "out.xlsx ends in .xlsx, which is no form of table"),
        (["data", "--out", "gone/out.csv"], "There is no folder gone"),
    ],
)
def test_what_is_wrong_is_said_first(project: Project, arguments: list[str], message: str) -> None:
    assert message in run(*arguments, fails=True)


def test_formats_of_export_are_those_there_are() -> None:
    from graft.cli import export as command
    from graft.export import export

    assert tuple(export.FORMATS) == command.FORMATS
    for arguments, message in (
        (["--format", "tflit"], "no format 'tflit'. Did you mean 'tflite'"),
        (["--format", "onnx", "--int8"], "--int8 is for TensorFlow Lite"),
    ):
        result = CliRunner().invoke(app, ["export", *arguments, "--out", "x"])
        assert message in str(result.exception)
