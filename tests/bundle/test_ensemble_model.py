"""The bundle of an ensemble: the weighted mean of what its members answer by themselves, on every way."""

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tiny import CLASSES, COUNTS, clock, make_project, write_member

from graft.bundle import model as module
from graft.bundle.model import ImageClassifier
from graft.data.splits.split_tables import read_splits
from graft.evaluation.evaluate import TestImages as Images
from graft.evaluation.evaluate import evaluate_bundle, write_evaluation
from graft.training.ensembles.ensemble_bundle import write_ensemble_bundle

WEIGHTS = {"small": 0.2, "large": 0.5, "other": 0.3}
SIZES = {"small": 8, "large": 20, "other": 8}


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("members")
    return {name: write_member(folder / name, CLASSES, size, seed) for seed, (name, size) in enumerate(SIZES.items())}


@pytest.fixture(scope="module")
def ensemble(bundles: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ensemble") / "model"
    write_ensemble_bundle({name: (WEIGHTS[name], bundle) for name, bundle in bundles.items()}, folder)
    return folder


def photograph(seed: int, form: str) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (90, 120, 3)).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, form)
    return stream.getvalue()


def mean_of_members(bundles: dict[str, Path], items: object) -> np.ndarray:
    total = np.zeros(())
    for name, bundle in bundles.items():
        rows = ImageClassifier(bundle).predict(items)["probabilities"]
        total = total + WEIGHTS[name] * np.array([[row[label] for label in CLASSES] for row in rows])
    return total


def test_it_answers_with_the_weighted_mean(bundles: dict[str, Path], ensemble: Path) -> None:
    # JPEG is decoded at a fraction of its size, which differs between members.
    data = [photograph(1, "JPEG"), photograph(2, "PNG")]
    pixels = [np.asarray(Image.open(io.BytesIO(one))) for one in data]
    ways = {
        "bytes": data,
        "base64": [base64.b64encode(one).decode() for one in data],
        "arrays": pixels,
        "batch": np.stack(pixels),
        "frame": pd.DataFrame({"image": data}),
    }
    classifier = ImageClassifier(ensemble)
    assert classifier.classes == CLASSES
    for way, items in ways.items():
        answers = classifier.predict(items)
        found = np.array([[row[label] for label in CLASSES] for row in answers["probabilities"]])
        np.testing.assert_allclose(found, mean_of_members(bundles, items), atol=1e-6, err_msg=way)
        assert answers["label"].tolist() == [CLASSES[i] for i in found.argmax(axis=1)]
        np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)


def test_members_really_differ(bundles: dict[str, Path]) -> None:
    answers = [ImageClassifier(bundle).predict([photograph(1, "PNG")])["probability"][0] for bundle in bundles.values()]
    assert np.ptp(answers) > 0.01


def test_a_photograph_is_decoded_once_per_size(ensemble: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    decode = module.decode

    def count(data: bytes, size: int, *more: Any) -> np.ndarray:
        sizes.append(size)
        return decode(data, size, *more)

    monkeypatch.setattr(module, "decode", count)
    classifier = ImageClassifier(ensemble)
    assert classifier.image_sizes == [8, 20]
    classifier.predict([photograph(1, "PNG")])
    assert sizes == [8, 20]


def test_it_needs_nothing_outside_its_folder(ensemble: Path, tmp_path: Path) -> None:
    expected = ImageClassifier(ensemble).predict([photograph(1, "PNG")])
    moved = ensemble.rename(tmp_path / "moved")
    try:
        pd.testing.assert_frame_equal(ImageClassifier(moved).predict([photograph(1, "PNG")]), expected)
    finally:
        moved.rename(ensemble)


def test_an_item_that_cannot_be_used_is_named_by_its_position(ensemble: Path) -> None:
    with pytest.raises(ValueError, match="Image 1 cannot be used: not an image"):
        ImageClassifier(ensemble).predict([photograph(1, "PNG"), b"nothing"])
    assert len(ImageClassifier(ensemble).predict([])) == 0


def test_it_is_evaluated_like_a_strategy(ensemble: Path, bundles: dict[str, Path], tmp_path: Path) -> None:
    project = make_project(tmp_path / "project")
    images = Images(project)
    write_evaluation("mean", evaluate_bundle("mean", ensemble.parent, images, 4, clock()), images)
    table = read_splits(project, ["test"])["test"]
    data = [(project.data / path).read_bytes() for path in table["path"]]
    written = pd.read_csv(project.artifacts("evaluate") / "predictions" / "mean.csv")
    assert len(written) == len(CLASSES) * COUNTS["test"]
    np.testing.assert_allclose(written[[f"p_{label}" for label in CLASSES]], mean_of_members(bundles, data), atol=1e-5)
