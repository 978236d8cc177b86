"""Paths: read for code that runs here, and for nobody else unless a folder was opened."""

import base64
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from graft.bundle.model import ImageClassifier
from graft.bundle.paths import ALLOWED_FOLDERS

CLASSES = ["red", "green", "blue"]


def brightest(pixels: np.ndarray) -> np.ndarray:
    means = pixels.mean(axis=(1, 2), dtype=np.float64)
    return np.asarray(means / means.sum(axis=1, keepdims=True), np.float32)


@pytest.fixture
def classifier(hollow_bundle: Path) -> ImageClassifier:
    made = ImageClassifier(hollow_bundle, lambda folder: brightest)
    made.classes = CLASSES
    return made


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "open" / "deep" / "green.png"
    path.parent.mkdir(parents=True)
    Image.new("RGB", (9, 9), (10, 200, 10)).save(path)
    Image.new("RGB", (9, 9), (200, 10, 10)).save(tmp_path / "closed.png")
    return path


def test_a_path_object_is_read(classifier: ImageClassifier, photo: Path) -> None:
    assert classifier.predict([photo])["label"].tolist() == ["green"]
    assert classifier.predict(photo)["label"].tolist() == ["green"]
    assert classifier.predict(pd.DataFrame({"image": [photo]}))["label"].tolist() == ["green"]
    with pytest.raises(ValueError, match="Image 0 cannot be used: no such file"):
        classifier.predict([photo.with_name("gone.png")])


def test_text_is_never_guessed_to_be_a_path(
    classifier: ImageClassifier, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ALLOWED_FOLDERS, "/")
    for items in ([str(photo)], str(photo), pd.DataFrame({"image": [str(photo)]}), [f"file://{photo}"]):
        with pytest.raises(ValueError, match="text that is not base64"):
            classifier.predict(items)


def test_the_column_of_paths_needs_a_folder(
    classifier: ImageClassifier, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = pd.DataFrame({"path": [str(photo)]})
    monkeypatch.delenv(ALLOWED_FOLDERS, raising=False)
    with pytest.raises(ValueError, match="paths are not read here: GRAFT_MODEL_PATHS names no folder"):
        classifier.predict(frame)
    monkeypatch.setenv(ALLOWED_FOLDERS, f"/nowhere:{photo.parents[1]}")
    assert classifier.predict(frame)["label"].tolist() == ["green"]


def test_what_lies_elsewhere_is_refused_as_if_it_were_not_there(
    classifier: ImageClassifier, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ALLOWED_FOLDERS, str(photo.parents[1]))
    (photo.parent / "link.png").symlink_to(tmp_path / "closed.png")
    (photo.parent / "circle.png").symlink_to(photo.parent / "circle.png")
    tricks = [
        tmp_path / "closed.png",
        tmp_path / "gone.png",
        photo.parent / "link.png",
        f"{photo.parents[1]}/../closed.png",
        f"{photo.parents[1]}x/green.png",
        "closed.png",
        "/etc/passwd",
        "a\0b",
    ]
    for trick in tricks:
        with pytest.raises(ValueError, match="in none of the folders that GRAFT_MODEL_PATHS names"):
            classifier.predict(pd.DataFrame({"path": [str(trick)]}))
    with pytest.raises(ValueError, match="Image 0 cannot be used"):
        classifier.predict(pd.DataFrame({"path": [str(photo.parent / "circle.png")]}))
    with pytest.raises(ValueError, match="not a file"):
        classifier.predict(pd.DataFrame({"path": [str(photo.parent)]}))


def test_rows_may_bring_an_image_or_a_path(
    classifier: ImageClassifier, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ALLOWED_FOLDERS, str(photo.parents[1]))
    red = (tmp_path / "closed.png").read_bytes()
    frame = pd.DataFrame({"image": [red, None], "path": [None, str(photo)]})
    assert classifier.predict(frame)["label"].tolist() == ["red", "green"]
    text = base64.b64encode(red).decode()
    frame = pd.DataFrame({"image": [None, text], "path": [str(photo), None]})
    assert classifier.predict(frame)["label"].tolist() == ["green", "red"]
    with pytest.raises(ValueError, match="Image 0 cannot be used"):
        classifier.predict(pd.DataFrame({"image": [None], "path": [None]}))
