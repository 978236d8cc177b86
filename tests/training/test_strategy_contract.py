"""One contract for every kind of strategy: another one is a class of params and the module of its name, and is here."""

import importlib
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
from tiny import CLASSES, COUNTS, clock, make_project, tiny_params

from graft.bundle.model import ImageClassifier
from graft.core.params.strategy_params import StrategyParams
from graft.core.params.train_params import TrainParams
from graft.core.project import Project
from graft.data.splits.split_tables import read_splits
from graft.networks.decode_images import load_images
from graft.networks.engines.open_classifier import open_classifier
from graft.networks.temperature import softmax
from graft.training.train import FittedStrategy, fit_strategy, train_strategy

SIZE = 32  # the smallest that MobileNet takes
FIT = {"epochs": 2, "patience": 2, "batch_size": 8, "learning_rate": 0.01}
# The least that each kind trains on.
KINDS: dict[str, dict[str, Any]] = {
    "frozen": {},
    "fine_tune": {**FIT, "unfreeze": 5, "head_epochs": 1, "learning_rate": 1e-4},
    "scratch": {**FIT, "filters": [4]},
}
IMAGES = len(CLASSES) * COUNTS["val"]


def params_of(kind: str) -> TrainParams:
    settings = {"kind": kind, **KINDS[kind]}
    return tiny_params(strategies={"one": settings}, run=["one"], image_size=SIZE).train


def test_every_kind_is_here_and_is_the_module_of_its_name() -> None:
    members = typing.get_args(typing.get_args(StrategyParams)[0])
    kinds = [typing.get_args(member.model_fields["kind"].annotation)[0] for member in members]
    assert sorted(kinds) == sorted(KINDS)
    for kind in kinds:
        assert callable(importlib.import_module(f"graft.training.strategies.{kind}").train)


@pytest.fixture(scope="module", params=KINDS)
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """(project, params, what the first fit gave, what writing it gave) of one kind."""
    project = make_project(tmp_path_factory.mktemp(request.param) / "project")
    params = params_of(request.param)
    first = fit_strategy(project, params, "one", clock())
    yield project, params, first, train_strategy(project, params, "one", clock())
    keras.backend.clear_session()


def test_logits_are_one_row_for_each_validation_image(
    trained: tuple[Project, TrainParams, FittedStrategy, Any],
) -> None:
    _, _, first, _ = trained
    assert first.trained.val_logits.shape == (IMAGES, len(CLASSES))
    assert first.trained.val_logits.dtype == np.float32
    assert np.isfinite(first.trained.val_logits).all()
    assert first.trained.model.output_shape == (None, len(CLASSES))
    assert first.trained.model.input_shape == (None, SIZE, SIZE, 3)


def test_a_finished_training_is_taken_up_again_as_it_was(trained: Any) -> None:
    _, _, first, again = trained
    np.testing.assert_array_equal(first.trained.val_logits, again.trained.val_logits)
    assert first.trained.weights_digest == again.trained.weights_digest
    assert again.calibration.temperature == first.calibration.temperature


def test_the_bundle_loads_and_answers_as_the_network_does(trained: Any) -> None:
    project, _, first, again = trained
    table = read_splits(project, ["val"])["val"]
    pixels = load_images(project.data, list(table["path"]), list(table["sha256"]), SIZE, "val")
    expected = softmax(first.trained.val_logits / again.calibration.temperature)
    for classifier in (ImageClassifier(again.folder / "model"), open_classifier(again.folder / "model")):
        assert list(classifier.classes) == CLASSES
        np.testing.assert_allclose(classifier.probabilities({SIZE: pixels}), expected, atol=2e-5)


def test_predictions_of_validation_are_in_the_tables_order(trained: Any) -> None:
    project, _, _, again = trained
    predictions = pd.read_csv(again.folder / "val_predictions.csv")
    table = read_splits(project, ["val"])["val"]
    assert list(predictions.columns) == ["sha256", "label", *(f"p_{label}" for label in CLASSES)]
    assert list(predictions["sha256"]) == list(table["sha256"])
    np.testing.assert_allclose(predictions.iloc[:, 2:].sum(axis=1), 1, atol=1e-5)


def test_what_it_leaves_behind_is_what_later_stages_read(trained: Any) -> None:
    _, _, _, again = trained
    found = {path.name for path in Path(again.folder).iterdir()}
    assert {"model", "metrics.json", "epochs.csv", "steps.csv", "val_predictions.csv"} <= found
    again.clean_up()
    assert not again.task.checkpoint.exists()
