"""Validation in folds: every image of train and val answered once, by a training without its group."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from tiny import CLASSES, COUNTS, clock, make_project, tinted_images, tiny_params

from graft.core.params.train_params import VALIDATION_FOLDS
from graft.core.project import Project
from graft.data.splits.split_tables import read_splits
from graft.networks.decode_images import DecodedImages
from graft.training.strategy import Task, Trained
from graft.training.train import FittedStrategy, train_strategy
from graft.training.validate_in_folds import SomeImages, fold_logits

COUNT = len(CLASSES) * (COUNTS["train"] + COUNTS["val"])


@pytest.fixture
def project(tmp_path: Path, no_outside_settings: None) -> Project:
    return make_project(tmp_path / "project")


def train(project: Project, name: str = "small", **settings: Any) -> FittedStrategy:
    return train_strategy(project, tiny_params(run=[name], **settings).train, name, clock())


def test_some_images_are_those_of_train_and_val_in_the_order_asked_for() -> None:
    train, val = (DecodedImages(*tinted_images(count, 8, seed=count)) for count in (5, 3))
    some = SomeImages(train, val, np.array([6, 0, 4, 7]))
    np.testing.assert_array_equal(some.inputs, np.stack([val.inputs[1], *train.inputs[[0, 4]], val.inputs[2]]))
    np.testing.assert_array_equal(some.at(np.array([3, 1])), np.stack([val.inputs[2], train.inputs[0]]))
    np.testing.assert_array_equal(some.labels, [val.labels[1], *train.labels[[0, 4]], val.labels[2]])
    assert list(some.keys) == [val.keys[1], train.keys[0], train.keys[4], val.keys[2]]
    assert some.at(np.array([], int)).shape == (0, 8, 8, 3)


def test_every_image_is_answered_once_by_a_training_without_its_group(tmp_path: Path) -> None:
    sizes = (14, 6)
    train, val = (DecodedImages(*tinted_images(size, 8, seed=size)) for size in sizes)
    groups = np.array([f"g{number // 2}" for number in range(sum(sizes))])
    task = Task(
        "few",
        ["a", "b"],
        train,
        val,
        8,
        7,
        tmp_path,
        tmp_path / "work",
        clock(),
        None,
        groups[:14],
        groups[14:],
        VALIDATION_FOLDS,
    )
    place = {key: row for row, key in enumerate([*train.keys, *val.keys])}
    folders = []

    def answer(part: Task) -> Trained:
        seen, asked = ([place[key] for key in images.keys] for images in (part.train, part.val))
        assert sorted(seen + asked) == list(range(20))
        assert not set(groups[seen]) & set(groups[asked])
        assert list(part.groups) == list(groups[seen])  # type: ignore[arg-type]
        assert set(part.train.labels) == {0, 1}
        assert part.folds == 0
        folders.append(part.checkpoint)
        return cast(Trained, SimpleNamespace(val_logits=np.array([[row, -row] for row in asked], np.float32)))

    found = fold_logits(answer, task)
    np.testing.assert_array_equal(found[:, 0], np.arange(20))
    assert len({str(folder) for folder in folders}) == VALIDATION_FOLDS
    assert all(folder.parent == task.checkpoint for folder in folders)


def test_with_few_images_for_validation_the_figures_are_of_train_and_val_out_of_fold(project: Project) -> None:
    fitted = train(project, validation="auto")
    assert COUNTS["val"] * len(CLASSES) < 40
    table = pd.read_csv(project.strategy("small") / "val_predictions.csv")
    splits = read_splits(project, ["train", "val"])
    assert table["sha256"].tolist() == [*splits["train"]["sha256"], *splits["val"]["sha256"]]
    figures = json.loads((project.strategy("small") / "metrics.json").read_text())
    assert figures == {"val": fitted.validation.headline(), "folds": {"folds": VALIDATION_FOLDS, "images": COUNT}}
    assert fitted.validation.confusion.sum() == COUNT
    # The model is that of the split, whichever way it is validated.
    other = train(project, validation="split")
    for one, two in zip(fitted.trained.model.get_weights(), other.trained.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    assert len(pd.read_csv(project.strategy("small") / "val_predictions.csv")) == COUNTS["val"] * len(CLASSES)


def test_a_head_that_is_cross_validated_answers_without_further_trainings(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graft.training.train.fold_logits", None)
    backbone = {"source": "keras", "name": "MobileNet", "weights": "none"}
    member = {"backbone": backbone, "image_size": 32, "weight": 1.0}
    frozen = {"kind": "frozen", "members": [member, {**member, "image_size": 40}]}
    fitted = train(project, "frozen", strategies={"frozen": frozen}, validation="auto")
    assert fitted.validation.confusion.sum() == COUNT
    assert json.loads((project.strategy("frozen") / "metrics.json").read_text())["folds"]["images"] == COUNT


def test_images_of_fewer_groups_than_folds_are_validated_by_the_split(project: Project) -> None:
    splits = read_splits(project, ["train", "val"])
    rows = [
        f"{digest},{number % 2}{split}"
        for split, table in splits.items()
        for number, digest in enumerate(table["sha256"])
    ]
    project.training_groups.write_text("\n".join(["sha256,group", *rows]) + "\n")
    assert train(project, validation="folds").task.folds == 0
