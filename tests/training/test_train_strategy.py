"""Training one strategy from split tables to files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tiny import CLASSES, COUNTS, SIZE, clock, tiny_params, write_hub_module

from graft.data.split_tables import read_splits
from graft.errors import GraftError
from graft.inference.model import ImageClassifier
from graft.params.train import TrainParams
from graft.project import Project
from graft.training.checkpoint import TrainingState
from graft.training.train import TrainedStrategy, train_strategy

COUNT = len(CLASSES) * COUNTS["val"]


def train(project: Project, params: TrainParams | None = None, name: str = "small") -> TrainedStrategy:
    return train_strategy(project, params or tiny_params().train, name, clock())


def test_everything_that_later_stages_need_is_written(project: Project) -> None:
    trained = train(project)
    folder = project.strategy("small")
    assert {path.name for path in folder.iterdir()} == {
        "model",
        "metrics.json",
        "epochs.csv",
        "steps.csv",
        "val_predictions.csv",
    }
    assert (trained.name, trained.classes, trained.image_size, trained.folder) == (
        "small",
        CLASSES,
        SIZE,
        folder,
    )
    figures = json.loads((folder / "metrics.json").read_text())
    assert figures == {"val": trained.validation.headline()}
    epochs = pd.read_csv(folder / "epochs.csv")
    assert list(epochs["epoch"]) == [0, 1]
    assert "seconds" not in epochs  # another run of the same would not be the same file
    assert len(pd.read_csv(folder / "steps.csv")) == 2 * 3


def test_predictions_are_those_of_the_bundle_but_for_the_temperature(project: Project) -> None:
    trained = train(project)
    predictions = pd.read_csv(project.strategy("small") / "val_predictions.csv")
    table = read_splits(project, ["val"])["val"]
    assert list(predictions.columns) == ["sha256", "label", *(f"p_{label}" for label in CLASSES)]
    assert predictions["sha256"].tolist() == table["sha256"].tolist()
    model = ImageClassifier(project.strategy("small") / "model")
    answers = model.predict([(project.data / path).read_bytes() for path in table["path"]])
    expected = [[row[label] for label in CLASSES] for row in answers["probabilities"]]
    assert len(predictions) == COUNT
    # Logits, up to a constant: of each row a multiple of the bundle's, as its temperature was fitted without it.
    assert trained.temperature != 1
    written, served = (
        np.log(rows) - np.log(rows).mean(axis=1, keepdims=True)
        for rows in (predictions.iloc[:, 2:].to_numpy(np.float64), np.array(expected))
    )
    factors = (written * served).sum(axis=1) / (served**2).sum(axis=1)
    np.testing.assert_allclose(written, factors[:, None] * served, atol=1e-4)
    assert np.all((factors > 0.5) & (factors < 2))
    assert np.ptp(factors) > 0
    settings = json.loads((project.strategy("small") / "model" / "model.json").read_text())
    assert settings["temperature"] == trained.temperature


def test_the_time_is_accounted_for(project: Project) -> None:
    watch = clock()
    train_strategy(project, tiny_params().train, "small", watch)
    assert [span.name for span in watch.spans] == ["decode train", "decode val", "fit", "calibrate", "export"]


def test_a_strategy_that_is_not_there_is_refused(project: Project) -> None:
    with pytest.raises(GraftError, match=r"no strategy 'big'.*small"):
        train(project, name="big")


def test_a_training_under_way_leaves_a_checkpoint_at_home_and_a_finished_one_none(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = TrainingState.on_epoch_begin

    def interrupt(self: TrainingState, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if epoch == 1:
            raise KeyboardInterrupt
        original(self, epoch, logs)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingState, "on_epoch_begin", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train(project)
    checkpoints = project.state / "checkpoints"
    assert len(list(checkpoints.iterdir())) == 1
    assert not project.strategy("small").exists()
    train(project)
    assert list(checkpoints.iterdir()) == []


def keys(project: Project, monkeypatch: pytest.MonkeyPatch, *params: TrainParams) -> list[Path]:
    """The folders that trainings would keep their checkpoints in."""
    folders: list[Path] = []

    def note(strategy: Any, task: Any) -> Any:
        folders.append(task.checkpoint)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(
            "graft.training.train.STRATEGIES", dict.fromkeys(map(type, params[0].strategies.values()), note)
        )
        for one in params:
            with pytest.raises(KeyboardInterrupt):
                train(project, one)
    return folders


def test_other_work_has_another_checkpoint(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    base = tiny_params().train
    faster = base.model_copy(
        update={"strategies": {"small": base.strategies["small"].model_copy(update={"learning_rate": 0.02})}}
    )
    first, again, other_rate, other_seed, other_size = keys(
        project, monkeypatch, base, base, faster, tiny_params(seed=8).train, tiny_params(image_size=12).train
    )
    assert first == again
    table = project.split_table("train")
    table.write_text("\n".join(table.read_text().splitlines()[:-1]) + "\n")
    (other_images,) = keys(project, monkeypatch, base)
    assert len({first, other_rate, other_seed, other_size, other_images}) == 5


def test_the_same_training_gives_the_same_files(project: Project, tmp_path: Path) -> None:
    train(project)
    names = ("epochs.csv", "steps.csv", "val_predictions.csv")
    before = {name: pd.read_csv(project.strategy("small") / name) for name in names}
    train(project)
    for name in names:
        pd.testing.assert_frame_equal(pd.read_csv(project.strategy("small") / name), before[name], rtol=1e-4)


def test_a_project_trains_on_a_hub_module(project: Project, tmp_path: Path) -> None:
    module = write_hub_module(tmp_path / "module", SIZE)
    strategy = {"kind": "frozen", "epochs": 20, "learning_rate": 0.05, "batch_size": 8}
    params = tiny_params(
        run=["head"], backbone={"source": "hub", "name": str(module)}, strategies={"head": strategy}
    ).train
    trained = train(project, params, "head")
    assert trained.validation.accuracy > 0.5  # of three classes
    assert trained.trained.weights_source == "Hub module"
    weights = trained.trained.model.trainable_weights
    assert [tuple(weight.shape) for weight in weights] == [(8, 3), (3,)]
