"""`graft predict` as it is typed."""

import hashlib
import json
import shutil
import zipfile
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from graft.bundle.model import ImageClassifier
from graft.cli.main import app
from graft.core.project import Project
from graft.deployment.predict import imagenet
from graft.registry.resolve import ResolvedModel

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


def test_the_most_likely_classes_of_one_of_imagenets_networks(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its predictions are not logged among those of the project's own classes, unless that is asked for."""
    asked: list[str] = []

    def model(project: Project, text: str) -> ResolvedModel:
        asked.append(text)
        return ResolvedModel(project.strategy("first") / "model", "ResNet50 of ImageNet", "", "", "0" * 64)

    monkeypatch.setattr(imagenet, "imagenet_model", model)
    params = project.params_file.read_text()
    project.params_file.write_text(params.replace("enabled: false", "enabled: true"))
    result = CliRunner().invoke(app, ["predict", "data/red/train-3.png", "--model", "imagenet:VGG16", "--top", "2"])
    assert result.exit_code == 0, result.output
    assert asked == ["imagenet:VGG16"]
    assert "ResNet50 of ImageNet: 3 classes" in result.output
    answer = ImageClassifier(project.strategy("first") / "model").predict([project.data / "red" / "train-3.png"])
    best = sorted(answer["probabilities"][0].items(), key=lambda pair: -pair[1])
    lines = [line.split() for line in result.output.splitlines()]
    at = lines.index(["data/red/train-3.png", best[0][0], f"{best[0][1]:.2%}"])
    assert lines[at + 1] == [best[1][0], f"{best[1][1]:.2%}"]
    assert not project.prediction_log.exists()


def test_what_a_cluster_cannot_be_given_is_predicted_here(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAFT_RAY_ADDRESS", "nowhere:1")
    monkeypatch.setenv("GRAFT_RAY_MIN_IMAGES", "1")
    with zipfile.ZipFile("some.zip", "w") as made:
        made.write("data/red/train-3.png")
    text = run("some.zip")
    assert "Predicted here, not on Ray: archives are read from front to back" in text
    assert "1 photograph: " in text


@pytest.mark.parametrize("where", [("--json",), ("--out", "out.csv")])
def test_the_most_likely_classes_are_for_the_terminal(project: Project, where: tuple[str, ...]) -> None:
    assert "--top is for the terminal" in run("data", "--top", "2", *where, fails=True)


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
    from graft.deployment.predict import predict_photographs as predict

    monkeypatch.setattr(predict, "CHUNK", 10)
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
    from graft.core.params.monitor_params import LogParams
    from graft.deployment.monitor.prediction_log import PredictionLog

    run("data", "--out", "out.parquet")
    assert not project.prediction_log.exists()
    run("data", "--out", "again.parquet", "--log")
    answers = pd.read_parquet(project.root / "again.parquet").fillna({"label": "", "problem": ""})
    logged = list(PredictionLog(project.prediction_log, LogParams()).read())
    assert [row.label for row in logged] == answers["label"].tolist()
    assert [row.image.problem for row in logged] == answers["problem"].tolist()
    found = [row.probability for row in logged]
    assert found == pytest.approx(answers["probability"].tolist(), nan_ok=True)
    digests = [hashlib.sha256((project.root / path).read_bytes()).hexdigest() for path in answers["path"]]
    assert [row.image.sha256 for row in logged] == digests
    text = (project.root / "params.yaml").read_text()
    (project.root / "params.yaml").write_text(text.replace("enabled: false", "enabled: true", 1))
    run("data/red", "--out", "more.parquet")
    assert PredictionLog(project.prediction_log, LogParams()).count() > len(logged)
    run("data/red", "--out", "no.parquet", "--no-log")


def test_answers_go_on_where_the_log_cannot_be_written(project: Project) -> None:
    project.prediction_log.parent.mkdir(parents=True, exist_ok=True)
    project.prediction_log.write_text("in the way")
    text = run("data/red", "--out", "out.csv", "--log")
    count = len(list((project.data / "red").iterdir()))
    assert len(pd.read_csv(project.root / "out.csv")) == count
    assert f"{count} predictions are not in the log: Nothing can be logged in" in text


def test_b15_the_same_words_elsewhere_are_other_photographs(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped in one folder, and typed again in another one that has a folder of the same name."""
    from graft.deployment.predict import predict_photographs as module

    for name in ("one", "two"):
        shutil.copytree(project.data / ("red" if name == "one" else "blue"), project.root / name / "photos")
    original = ImageClassifier.probabilities

    def stop(self: ImageClassifier, pixels: object) -> object:
        raise KeyboardInterrupt

    out = str(tmp_path / "out.csv")
    model = str(project.strategy("first"))
    monkeypatch.chdir(project.root / "one")
    monkeypatch.setattr(module, "CHUNK", 4)
    monkeypatch.setattr(ImageClassifier, "probabilities", stop)
    CliRunner().invoke(app, ["predict", "photos", "--out", out, "--model", model])
    monkeypatch.setattr(ImageClassifier, "probabilities", original)
    monkeypatch.chdir(project.root / "two")
    result = CliRunner().invoke(app, ["predict", "photos", "--out", out, "--model", model])
    assert "of other photographs: " in str(result.exception)
    monkeypatch.chdir(project.root / "one")
    result = CliRunner().invoke(app, ["predict", "photos", "--out", out, "--model", model])
    assert result.exit_code == 0, result.output
    assert len(pd.read_csv(out)) == len(list((project.data / "red").iterdir()))


def test_b15_an_archive_without_images_is_an_empty_table(project: Project) -> None:
    with zipfile.ZipFile("none.zip", "w") as made:
        made.writestr("notes.txt", "no image")
    run("none.zip", "--out", "none.json", fails=True)
    assert json.loads((project.root / "none.json").read_text()) == []


def test_c15_answers_for_programs_stand_alone(project: Project) -> None:
    arguments = ["predict", "data/red", "--model", "artifacts/train/first", "--json"]
    result = CliRunner().invoke(app, arguments)
    rows = json.loads(result.stdout)
    assert [row["path"] for row in rows] == sorted(f"data/red/{path.name}" for path in (project.data / "red").iterdir())
    assert {row["problem"] for row in rows} == {None, "not an image that can be read, but text"}
    assert "3 classes" in result.stderr
    assert "--json prints what --out writes" in run("data", "--json", "--out", "x.json", fails=True)


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


def test_what_export_is_asked_for_is_checked_first() -> None:
    for arguments, message in (
        (["--format", "tflit"], "no format 'tflit'. Did you mean 'tflite'"),
        (["--format", "onnx", "--int8"], "--int8 is for TensorFlow Lite"),
    ):
        result = CliRunner().invoke(app, ["export", *arguments, "--out", "x"])
        assert message in str(result.exception)
