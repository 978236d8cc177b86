"""The bundles of a tiny project on its test split."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tiny import CLASSES, COUNTS, SIZE, clock

from graft.core.project import Project
from graft.data.splits.split_tables import read_splits
from graft.evaluation import evaluate as module
from graft.evaluation.evaluate import evaluate_bundle, write_evaluation
from graft.evaluation.metrics import Evaluation
from graft.networks import decode_images as images_module
from graft.training.write_bundle import write_bundle

NAME = "by hand"
COUNT = len(CLASSES) * COUNTS["test"]


@pytest.fixture
def evaluated(project: Project) -> tuple[Project, Evaluation]:
    """A strategy that names the brightest channel, except that it takes red for green."""
    import keras

    inputs = keras.Input((SIZE, SIZE, 3))
    means = keras.layers.GlobalAveragePooling2D()(inputs)
    to_logits = keras.layers.Dense(3, use_bias=False)
    logits = to_logits(means)
    # From red, green, blue to blue, green, red.
    to_logits.kernel.assign(np.array([[0, 1, 0], [0, 1, 0], [1, 0, 0]]) / 50)
    write_bundle(keras.Model(inputs, logits), CLASSES, SIZE, project.strategy(NAME) / "model")
    folder = project.strategy(NAME)
    images = module.TestImages(project)
    found = evaluate_bundle(NAME, folder, images, 4, clock())
    write_evaluation(NAME, found, images)
    return project, found.evaluation


def test_figures_are_those_of_the_bundle_on_the_test_split(evaluated: tuple[Project, Evaluation]) -> None:
    project, evaluation = evaluated
    assert evaluation.confusion.tolist() == [[5, 0, 0], [0, 5, 0], [0, 5, 0]]
    assert evaluation.accuracy == pytest.approx(2 / 3)
    folder = project.artifacts("evaluate")
    written = json.loads((folder / "metrics" / f"{NAME}.json").read_text())
    assert written["test"] == pytest.approx(evaluation.headline())
    per_class = pd.read_csv(folder / "per_class" / f"{NAME}.csv", index_col="class")
    assert list(per_class.index) == CLASSES
    assert per_class.loc["green", "precision"] == 0.5
    assert per_class["support"].tolist() == [5, 5, 5]


def test_predictions_are_written_image_by_image(evaluated: tuple[Project, Evaluation]) -> None:
    project, _ = evaluated
    table = read_splits(project, ["test"])["test"]
    predictions = pd.read_csv(project.artifacts("evaluate") / "predictions" / f"{NAME}.csv")
    assert len(predictions) == COUNT
    for column in ("sha256", "label"):
        assert predictions[column].tolist() == table[column].tolist()
    taken_for = {"blue": "blue", "green": "green", "red": "green"}
    assert predictions["predicted"].tolist() == [taken_for[label] for label in table["label"]]
    chances = predictions[[f"p_{label}" for label in CLASSES]]
    np.testing.assert_allclose(chances.sum(axis=1), 1, atol=1e-4)


def test_the_matrix_is_there_as_data_and_as_a_picture(evaluated: tuple[Project, Evaluation]) -> None:
    project, evaluation = evaluated
    folder = project.artifacts("evaluate")
    pairs = pd.read_csv(folder / "confusion" / f"{NAME}.csv")
    counted = pd.crosstab(pairs["actual"], pairs["predicted"]).reindex(index=CLASSES, columns=CLASSES, fill_value=0)
    assert counted.to_numpy().tolist() == evaluation.confusion.tolist()
    with Image.open(folder / "pictures" / f"{NAME}.png") as picture:
        assert picture.format == "PNG"
        assert np.asarray(picture.convert("L")).std() > 10


def test_images_are_decoded_once_per_size(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    load = images_module.load_images

    def count(root: Path, paths: list[str], sha256: list[str], size: int, *arguments: Any) -> np.ndarray:
        sizes.append(size)
        return load(root, paths, sha256, size, *arguments)

    monkeypatch.setattr(images_module, "load_images", count)
    images = module.TestImages(project)
    assert images.at(8).inputs.shape == (COUNT, 8, 8, 3)
    assert images.at(12).inputs.shape == (COUNT, 12, 12, 3)
    np.testing.assert_array_equal(images.at(8).at(np.array([3, 1])), images.at(8).inputs[[3, 1]])
    assert sizes == [8, 12]
