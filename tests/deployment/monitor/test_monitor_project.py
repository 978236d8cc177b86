"""`graft monitor` and the log of `graft predict` as they are typed, on tiny images."""

import io
import json
import shutil
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from photographs import scene, write_photographs
from PIL import ImageEnhance
from typer.testing import CliRunner

from graft.bundle.images import decode
from graft.cli.main import app
from graft.core.params import load_params
from graft.core.params.monitor_params import LogParams
from graft.core.project import Project
from graft.data.folder.layout import read_layout
from graft.data.scan.manifest import read_manifest
from graft.data.scan.near_duplicates import Limits, find_near_duplicates, write_near_duplicates
from graft.data.scan.scan_images import scan
from graft.data.splits.split_images import make_split
from graft.data.splits.split_tables import write_split_tables
from graft.deployment.monitor import monitor_predictions as monitoring
from graft.deployment.monitor.observation import Observation, observe
from graft.deployment.monitor.prediction_log import LoggedPrediction, PredictionLog
from graft.deployment.monitor.watch_logged import Watcher
from graft.deployment.predict.inputs import find_photographs
from graft.deployment.predict.predict_photographs import predict_photographs

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
    """Answers with the brightest channel; of the interface of graft.bundle.model.ImageClassifier."""

    classes = CLASSES
    image_sizes = (8,)
    max_pixels = 10_000

    def to_pixels(self, item: bytes) -> dict[int, np.ndarray]:
        return {8: decode(item, 8)}

    def answers(self, pixels: dict[int, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        means = pixels[8].mean(axis=(1, 2), dtype=np.float64)[:, ::-1]
        return np.asarray(means / means.sum(axis=1, keepdims=True), np.float32), means.argmax(axis=1)


class Pixels:
    """Features that are the pixels themselves; of the interface of graft.networks.features.embedder.Embedder."""

    image_size = 8
    name = "pixels"
    identity = "pixels"

    def features(self, images: Any, label: str) -> np.ndarray:
        return np.asarray(images.at(np.arange(len(images))).reshape(len(images), -1), np.float32)


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
def project(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_outside_settings: None) -> Project:
    """A copy, with a classifier as champion; the working directory."""
    root = tmp_path / "project"
    shutil.copytree(made, root)
    monkeypatch.chdir(root)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(
        monitoring, "_open_model", lambda project, model: (Brightest(), "scenes version 1 (champion)", DIGEST)
    )
    return Project(root)


@pytest.fixture
def without_backbone(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The project, compared without TensorFlow."""
    monkeypatch.setattr(monitoring, "_embedder", lambda project, params: Pixels())
    return project


def photographs(folder: Path, count: int, brightness: float = 1.0) -> Path:
    folder.mkdir()
    for number in range(count):
        picture = ImageEnhance.Brightness(scene(number % 3, 5000 + number)).enhance(brightness)
        picture.save(folder / f"{number}.png")
    return folder


def monitor(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["monitor", *arguments])
    return result.exit_code, result.stdout + ("" if result.exit_code in (0, 3) else str(result.exception))


def test_the_same_kind_of_images_is_no_drift_and_darker_ones_are(project: Project, tmp_path: Path) -> None:
    from graft.registry.store.tracking_store import open_store

    same = photographs(tmp_path / "same", 60)
    code, text = monitor(str(same))
    assert code == 0, text
    assert "No drift in 8 checks: 60 of 60 recent images, against" in text
    dark = photographs(tmp_path / "dark", 60, brightness=0.6)
    (dark / "broken.png").write_bytes(b"no image")
    code, text = monitor(str(dark), "--json")
    assert code == 3, text
    record = json.loads(text)
    checks = {check["name"]: check for check in record["checks"]}
    assert checks["brightness"]["drift"]
    assert not checks["classes"]["drift"]
    assert not checks["width"]["drift"]
    counts = {"images": 60, "seen": 61, "unreadable": 1, "repeats": 0, "passed_over": 0}
    assert record["recent"] == counts

    client = open_store(project)
    experiment = client.get_experiment_by_name("scenes")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], order_by=["start_time"])
    assert [run.data.metrics["drift"] for run in runs] == [0, 1]
    assert counts.items() <= runs[1].data.metrics.items()
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
        stream = (one for some in find_photographs([str(folder)]) for one in some.read())
        for answers in predict_photographs(classifier, watcher.watch(stream)):
            watcher.log(answers)
    rows = list(log.read())
    assert len(rows) == 41
    assert Counter(row.label for row in rows) == {"red": 14, "green": 13, "blue": 13, "": 1}
    of_files, of_log = (
        json.loads(text)
        for _, text in (monitor(str(folder), "--json", "--no-track"), monitor("--log", "--json", "--no-track"))
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


def log_rows(project: Project, rows: Iterable[LoggedPrediction], **settings: bool) -> None:
    with PredictionLog(project.prediction_log, LogParams(**settings)) as log:
        log.append(list(rows))


def logged(number: int, **more: Any) -> LoggedPrediction:
    """A photograph of the kind that the model was trained on, and its answer."""
    stream = io.BytesIO()
    scene(number % 3, 7000 + number).save(stream, "PNG")
    data = stream.getvalue()
    answer = {"label": ["red", "green", "blue"][number % 3], "probability": 0.6}
    settings = {"model": "scenes version 1", "digest": DIGEST, "data": data, **answer, **more}
    return LoggedPrediction(observe(data, 10_000), **settings)


def broken(sha256: str = "") -> LoggedPrediction:
    return LoggedPrediction(Observation(sha256, "the file is empty"), "scenes version 1", DIGEST)


def monitored_log(project: Project) -> tuple[int, dict[str, Any]]:
    code, text = monitor("--log", "--json", "--no-track")
    assert code in (0, 3), text
    return code, json.loads(text)


def checks_of(record: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {check["name"]: check for check in record["checks"]}


def test_c8_one_file_5000_times_is_a_camera_that_is_stuck(without_backbone: Project) -> None:
    log_rows(without_backbone, [logged(0, data=None)] * 5000)
    code, record = monitored_log(without_backbone)
    assert code == 3
    assert record["stuck"] is True
    assert record["recent"] == {"images": 1, "seen": 5000, "unreadable": 0, "repeats": 4999, "passed_over": 0}
    assert list(checks_of(record)) == ["unreadable"]


@pytest.mark.parametrize("sha256", ["", "e" * 64])
def test_c8_every_unreadable_image_counts(without_backbone: Project, sha256: str) -> None:
    sides = [logged(number, data=None) for number in range(150)]
    log_rows(without_backbone, [*sides, *[broken(sha256)] * 60])
    code, record = monitored_log(without_backbone)
    assert code == 3
    assert (record["recent"]["seen"], record["recent"]["unreadable"]) == (210, 60)
    check = checks_of(record)["unreadable"]
    assert check["drift"]
    assert "60 of 210" in check["words"]


def test_c8_a_camera_whose_files_cannot_be_read_is_drift_and_no_error(
    without_backbone: Project, tmp_path: Path
) -> None:
    log_rows(without_backbone, [logged(0, data=None), *[broken()] * 60])
    code, record = monitored_log(without_backbone)
    assert code == 3
    assert not record["stuck"]
    assert [name for name, check in checks_of(record).items() if check["drift"]] == ["unreadable"]
    assert record["skipped"]["images"].startswith("1 of 1 readable images are independent")
    folder = photographs(tmp_path / "files", 1)
    for number in range(60):
        (folder / f"broken-{number}.png").write_bytes(b"no image")
    code, text = monitor(str(folder), "--no-track")
    assert code == 3
    assert "Drift in unreadable: 1 of 61 recent images (left out: 60 unreadable)" in text


def test_c8_what_is_kept_of_most_images_is_compared(without_backbone: Project) -> None:
    """Photographs of 30 images, embeddings of 10, neither of 5; 15 were answered by another model."""
    rows = [logged(number) for number in range(45)]
    rows[30:] = [replace(one, data=None) for one in rows[30:]]
    rows[30:40] = [replace(one, embedding=np.zeros(192), embedded_by=Pixels.identity) for one in rows[30:40]]
    rows[40:] = [replace(one, embedding=np.zeros(192), embedded_by="another") for one in rows[40:]]
    rows[:15] = [replace(one, digest="another") for one in rows[:15]]
    log_rows(without_backbone, rows, keep_images=True, keep_embeddings=True)
    _, record = monitored_log(without_backbone)
    checks = checks_of(record)
    assert record["recent"]["images"] == 45
    assert (checks["brightness"]["recent"], checks["embedding"]["recent"]) == (45, 40)
    assert (
        "40 of 45 images, of the others the log keeps neither photograph nor embedding" in checks["embedding"]["words"]
    )
    for name in ("classes", "confidence"):
        assert checks[name]["recent"] == 30
    assert "30 of 45 images, the others had another model" in checks["classes"]["words"]
    page = (without_backbone.drift_reports / "report.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 24


def test_c8_too_few_features_are_said_with_both_numbers(without_backbone: Project) -> None:
    rows = [logged(number) for number in range(30)]
    log_rows(without_backbone, [*rows[:5], *(replace(one, data=None) for one in rows[5:])], keep_images=True)
    _, record = monitored_log(without_backbone)
    assert record["skipped"]["embedding"].startswith("5 of 30 images, of the others the log keeps neither")
    assert "embedding" not in checks_of(record)


def test_c8_images_beyond_the_limit_are_counted(without_backbone: Project, tmp_path: Path) -> None:
    text = without_backbone.params_file.read_text()
    without_backbone.params_file.write_text(text.replace("min_images: 20", "min_images: 20, max_images: 25"))
    log_rows(without_backbone, [*[broken()] * 7, *(logged(number, data=None) for number in range(40)), logged(39)])
    _, record = monitored_log(without_backbone)
    assert record["recent"] == {"images": 25, "seen": 26, "unreadable": 0, "repeats": 1, "passed_over": 22}
    _, text = monitor(str(photographs(tmp_path / "same", 60)), "--no-track")
    assert "25 of 60 recent images (left out: 35 not looked at)" in text


def test_c8_an_answer_of_the_model_counts_though_another_one_was_asked_later(without_backbone: Project) -> None:
    rows = [logged(number, data=None) for number in range(30)]
    log_rows(without_backbone, [*rows, *(replace(one, digest="another", label="blue") for one in rows)])
    _, record = monitored_log(without_backbone)
    assert record["recent"]["repeats"] == 30
    assert checks_of(record)["classes"]["recent"] == 30


def test_d8_each_comparison_has_a_page_of_its_own(without_backbone: Project, tmp_path: Path) -> None:
    log_rows(without_backbone, (logged(number, data=None) for number in range(30)))
    monitored_log(without_backbone)
    (first,) = without_backbone.drift_reports.glob("2*.html")
    _, record = monitored_log(without_backbone)
    first, second = sorted(without_backbone.drift_reports.glob("2*.html"))
    html = second.read_text()
    assert (without_backbone.drift_reports / "report.html").read_text() == html
    assert f'href="{first.name}"' in html
    for moment in (record["at"], *record["period"]):
        assert f'<time datetime="{moment}">' in html
        assert datetime.fromisoformat(moment).strftime("%d %B %Y, %H:%M UTC") in html


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Neither recent images nor a log was named"),
        (["data", "--log"], "more than one was named"),
        (["data", "--days", "3"], "--days goes with --log"),
        (["--log-from", "nowhere"], "There is no prediction log in nowhere"),
        (["data/test/red/003.png", "--no-track"], "holds 1 images, readable or not"),
    ],
)
def test_what_cannot_be_compared(project: Project, arguments: list[str], message: str) -> None:
    code, text = monitor(*arguments)
    assert code == 1
    assert message in text
