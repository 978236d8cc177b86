"""`graft monitor` and the log of `graft predict` as they are typed, on tiny images."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from photographs import scene, write_photographs
from PIL import ImageEnhance
from typer.testing import CliRunner

from graft.cli.main import app
from graft.data.layout import read_layout
from graft.data.manifest import read_manifest
from graft.data.near_duplicates import Limits, find_near_duplicates, write_near_duplicates
from graft.data.scanning import scan
from graft.data.split_tables import write_split_tables
from graft.data.splitting import make_split
from graft.inference.images import decode
from graft.monitoring import monitor as monitoring
from graft.monitoring.log import PredictionLog
from graft.monitoring.watching import Watcher
from graft.params import load_params
from graft.prediction.inputs import find_photographs
from graft.prediction.predict import predict_photographs
from graft.project import Project

CLASSES = ["blue", "green", "red"]
DIGEST = "d" * 64
PARAMS = """
validate: {}
split: {}
train:
  run: [small]
  image_size: 32
  seed: 7
  backbone: {source: keras, name: MobileNet, weights: none}
  strategies:
    small: {kind: frozen, epochs: 1, patience: 1, batch_size: 8, learning_rate: 0.01, head: {dropout: 0.1}}
ensemble: {}
evaluate: {}
register: {}
monitor: {min_images: 20, permutations: 800, log: {keep_images: true, keep_embeddings: true}}
"""


class Brightest:
    """Answers with the brightest channel; of the interface of graft.inference.model.ImageClassifier."""

    classes = CLASSES
    image_sizes = (8,)
    max_pixels = 10_000

    def to_pixels(self, item: bytes) -> dict[int, np.ndarray]:
        return {8: decode(item, 8)}

    def probabilities(self, pixels: dict[int, np.ndarray]) -> np.ndarray:
        means = pixels[8].mean(axis=(1, 2), dtype=np.float64)[:, ::-1]
        return np.asarray(means / means.sum(axis=1, keepdims=True), np.float32)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of 240 photographs, validated and split."""
    root = tmp_path_factory.mktemp("monitored")
    project = write_photographs(root, per_class=80)
    (root / "params.yaml").write_text(PARAMS)
    (root / "data.dvc").write_text("outs:\n- path: data\nmeta:\n  dataset: scenes\n")
    params = load_params(project.params_file)
    project.artifacts("validate").mkdir(parents=True)
    scan(read_layout(project.data), params.validate_, project.manifest)
    manifest = read_manifest(project.manifest, thumbnails=True)
    write_near_duplicates(find_near_duplicates(manifest, Limits(4, 0.02)), project.near_duplicates)
    split = make_split(manifest.drop(columns="thumbnail"), params.split)
    write_split_tables(split.tables, split.summary, project.artifacts("split"))
    return root


@pytest.fixture
def project(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_outside_settings: None
) -> Project:
    """A copy, with a classifier as champion; the working directory."""
    root = tmp_path / "project"
    shutil.copytree(made, root)
    monkeypatch.chdir(root)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(
        monitoring, "_open_model", lambda project, model: (Brightest(), "scenes version 1 (champion)", DIGEST)
    )
    return Project(root)


def photographs(folder: Path, count: int, brightness: float = 1.0) -> Path:
    folder.mkdir()
    for number in range(count):
        picture = ImageEnhance.Brightness(scene(number % 3, 5000 + number)).enhance(brightness)
        picture.save(folder / f"{number}.png")
    return folder


def monitor(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["monitor", *arguments])
    return result.exit_code, result.stdout + (str(result.exception) if result.exception else "")


def test_the_same_kind_of_images_is_no_drift_and_darker_ones_are(project: Project, tmp_path: Path) -> None:
    from graft.tracking.store import open_store

    same = photographs(tmp_path / "same", 60)
    code, text = monitor(str(same))
    assert code == 0, text
    assert "No drift in 8 checks: 60 recent images" in text
    dark = photographs(tmp_path / "dark", 60, brightness=0.6)
    (dark / "broken.png").write_bytes(b"no image")
    code, text = monitor(str(dark), "--json")
    assert code == 3, text
    record = json.loads(text[: text.rindex("}") + 1])
    checks = {check["name"]: check for check in record["checks"]}
    assert checks["brightness"]["drift"]
    assert not checks["classes"]["drift"]
    assert not checks["width"]["drift"]
    assert record["recent"] == {"images": 60, "seen": 61, "unreadable": 1, "repeats": 0}

    client = open_store(project)
    experiment = client.get_experiment_by_name("scenes")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], order_by=["start_time"])
    assert [run.data.metrics["drift"] for run in runs] == [0, 1]
    assert runs[1].data.metrics["brightness_p_adjusted"] == pytest.approx(checks["brightness"]["adjusted"])
    files = {file.path for file in client.list_artifacts(runs[1].info.run_id)}
    assert files == {"comparison.json", "report.html"}
    page = (project.drift_reports / "report.html").read_text()
    assert "Drift in" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert page.count("data:image/jpeg;base64,") == 24


def test_a_log_is_compared_like_the_images_themselves(project: Project, tmp_path: Path) -> None:
    folder = photographs(tmp_path / "dark", 40, brightness=0.6)
    (folder / "broken.png").write_bytes(b"no image")
    params = load_params(project.params_file)
    classifier = Brightest()
    with PredictionLog(project.prediction_log, params.monitor.log) as log:
        watcher = Watcher(log, "scenes version 1", DIGEST, CLASSES, 10_000)
        stream = (one for some in find_photographs([str(folder)]) for one in some.read(lambda name: True))
        for answers in predict_photographs(classifier, watcher.watch(stream)):
            watcher.log(answers)
    rows = log.read()
    assert len(rows) == 41
    assert rows.loc[rows["problem"] == "", "label"].value_counts().to_dict() == {
        "red": 14,
        "green": 13,
        "blue": 13,
    }
    of_files, of_log = (
        json.loads(text[: text.rindex("}") + 1])
        for _, text in (
            monitor(str(folder), "--json", "--no-track"),
            monitor("--log", "--json", "--no-track"),
        )
    )
    assert of_log["drift"] is True
    assert of_log["recent"] == of_files["recent"]
    for one, other in zip(of_files["checks"], of_log["checks"], strict=True):
        assert one["name"] == other["name"]
        # The backbone's weights are drawn anew by each command here.
        if one["name"] != "embedding":
            assert one["effect"] == pytest.approx(other["effect"], abs=1e-4)


def test_one_picture_again_and_again_is_a_camera_that_is_stuck(project: Project, tmp_path: Path) -> None:
    folder = tmp_path / "stuck"
    folder.mkdir()
    for number in range(40):
        picture = scene(0, 5000)
        picture.putpixel((number, 0), (255, 255, 255))
        picture.save(folder / f"{number}.png")
    code, text = monitor(str(folder), "--no-track")
    assert code == 3
    assert "Drift: of 40 recent images, all but 1 nearly repeat another one" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Neither recent images nor a log was named"),
        (["data", "--log"], "more than one was named"),
        (["data", "--days", "3"], "--days goes with --log"),
        (["--log-from", "nowhere"], "There is no prediction log in nowhere"),
        (["data/test/red/003.png", "--no-track"], "holds 1 images that can be read"),
    ],
)
def test_what_cannot_be_compared(project: Project, arguments: list[str], message: str) -> None:
    code, text = monitor(*arguments)
    assert code == 1
    assert message in text
