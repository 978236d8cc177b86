"""Training one strategy from split tables to files."""

import json
import shutil
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tiny import CLASSES, COUNTS, SIZE, clock, tiny_params, write_hub_module

from graft.bundle.decisions import Known, distances
from graft.bundle.images import decode
from graft.bundle.model import ImageClassifier, SavedModelNetwork
from graft.core.errors import GraftError
from graft.core.params.train_params import TrainParams
from graft.core.project import Project
from graft.data.splits.split_tables import read_splits
from graft.networks.engines.open_classifier import OpenVinoNetwork
from graft.training.checkpoint import TrainingState
from graft.training.train import FittedStrategy, train_strategy

COUNT = len(CLASSES) * COUNTS["val"]


def train(project: Project, params: TrainParams | None = None, name: str = "small") -> FittedStrategy:
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
    assert (trained.name, trained.task.classes, trained.task.image_size, trained.folder) == (
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
    small = tiny_params().train.strategies["small"].model_copy(update={"epochs": 6, "patience": 6})
    trained = train(project, tiny_params(strategies={"small": small.model_dump(exclude_unset=True)}).train)
    predictions = pd.read_csv(project.strategy("small") / "val_predictions.csv")
    table = read_splits(project, ["val"])["val"]
    assert list(predictions.columns) == ["sha256", "label", *(f"p_{label}" for label in CLASSES)]
    assert predictions["sha256"].tolist() == table["sha256"].tolist()
    model = ImageClassifier(project.strategy("small") / "model")
    answers = model.predict([(project.data / path).read_bytes() for path in table["path"]])
    expected = [[row[label] for label in CLASSES] for row in answers["probabilities"]]
    assert len(predictions) == COUNT
    # Logits, up to a constant: of each row a multiple of the bundle's, as its temperature was fitted without it.
    assert trained.calibration.temperature != 1
    written, served = (
        np.log(rows) - np.log(rows).mean(axis=1, keepdims=True)
        for rows in (predictions.iloc[:, 2:].to_numpy(np.float64), np.array(expected))
    )
    factors = (written * served).sum(axis=1) / (served**2).sum(axis=1)
    np.testing.assert_allclose(written, factors[:, None] * served, atol=1e-4)
    assert np.all((factors > 0.5) & (factors < 2))
    assert np.ptp(factors) > 0
    bundle = project.strategy("small") / "model"
    settings = json.loads((bundle / "model.json").read_text())
    assert settings["temperature"] == trained.calibration.temperature
    known = Known.read(bundle)  # the same images, and how far each is from the training images
    assert known is not None
    np.testing.assert_allclose(known.probabilities, predictions.iloc[:, 2:].to_numpy(), atol=1e-6)
    images = [(project.data / path).read_bytes() for path in table["path"]]
    pixels = {SIZE: np.stack([decode(data, SIZE) for data in images])}
    _, features = SavedModelNetwork(bundle).with_features(pixels[SIZE])
    _, by_openvino = OpenVinoNetwork(bundle).with_features(pixels[SIZE])
    np.testing.assert_allclose(features, by_openvino, atol=1e-3)
    training = np.load(bundle / "features.npz")["features"]
    np.testing.assert_allclose(known.distances, distances(features, training), atol=1e-3)
    assert np.isfinite(known.distances).all()


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
    checkpoints = project.checkpoints
    (stopped,) = checkpoints.iterdir()
    # Of other settings, and of a strategy whose name begins the same.
    for name in ("small-0123456789abcdef", "small-net-0123456789abcdef"):
        (checkpoints / name).mkdir()
    assert not project.strategy("small").exists()
    trained = train(project)
    assert {path.name for path in checkpoints.iterdir()} == {stopped.name, "small-net-0123456789abcdef"}
    trained.clean_up()
    assert [path.name for path in checkpoints.iterdir()] == ["small-net-0123456789abcdef"]


@pytest.fixture
def epochs_begun(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    begun: list[int] = []
    original = TrainingState.on_epoch_begin

    def note(self: TrainingState, epoch: int, logs: dict[str, Any] | None = None) -> None:
        begun.append(epoch)
        original(self, epoch, logs)

    monkeypatch.setattr(TrainingState, "on_epoch_begin", note)
    return begun


@pytest.mark.parametrize("kind", ["scratch", "frozen"])
def test_b16_a_training_that_was_not_recorded_is_found_finished(
    kind: str, project: Project, tmp_path: Path, epochs_begun: list[int]
) -> None:
    strategy = tiny_params().train.strategies["small"].model_dump(exclude_unset=True)
    if kind == "frozen":
        strategy = {"kind": "frozen", "epochs": 3, "learning_rate": 0.05, "head": {"dropout": 0.5}}
    backbone = {"source": "hub", "name": str(write_hub_module(tmp_path / "module", SIZE))}
    params = tiny_params(backbone=backbone, strategies={"small": strategy}).train
    first = train(project, params)
    assert epochs_begun
    epochs_begun.clear()
    names = ("epochs.csv", "steps.csv", "val_predictions.csv", "metrics.json")
    written = {name: (project.strategy("small") / name).read_text() for name in names}
    # The tracking server was away: DVC removes the stage's outputs, and runs it again.
    shutil.rmtree(project.strategy("small"))
    again = train(project, params)
    assert epochs_begun == []
    assert {name: (project.strategy("small") / name).read_text() for name in names} == written
    assert again.trained.fit.best_epoch == first.trained.fit.best_epoch
    again.clean_up()
    assert not list(project.checkpoints.iterdir())


def test_b16_the_checkpoint_goes_once_the_record_is_in_place(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipelines import train as stage

    project.params_file.write_text(json.dumps(tiny_params().model_dump(mode="json", by_alias=True)))
    away = [ConnectionError("the tracking server is away")]

    def record(*arguments: Any) -> None:
        if away:
            raise away.pop()

    monkeypatch.setattr(stage, "fit_strategy", lambda project, params, name, clock: train(project, params.train, name))
    monkeypatch.setattr(stage, "record", record)
    monkeypatch.setattr("graft.registry.runs.strategy_runs.training_run", lambda *arguments: nullcontext("run"))
    with pytest.raises(ConnectionError):
        stage.train.fn(project, clock(), "small")
    assert list(project.checkpoints.iterdir())
    stage.train.fn(project, clock(), "small")
    assert not list(project.checkpoints.iterdir())


@pytest.mark.parametrize("kind", ["scratch", "frozen", "fine_tune"])
def test_c16_a_batch_size_is_an_upper_bound(kind: str, project: Project, tmp_path: Path) -> None:
    common = {"kind": kind, "epochs": 1, "batch_size": 1000, "learning_rate": 0.01}
    more = {"scratch": {"filters": [4]}, "frozen": {}, "fine_tune": {"unfreeze": "all", "head_epochs": 1}}
    backbone = {"source": "hub", "name": str(write_hub_module(tmp_path / "module", SIZE))}
    params = tiny_params(run=["it"], backbone=backbone, strategies={"it": {**common, **more[kind]}}).train
    train(project, params, "it")
    steps = pd.read_csv(project.strategy("it") / "steps.csv")
    assert len(steps) == 1  # an epoch of one step, of all images


def keys(project: Project, monkeypatch: pytest.MonkeyPatch, *params: TrainParams) -> list[Path]:
    """The folders that trainings would keep their checkpoints in."""
    folders: list[Path] = []

    def note(strategy: Any, task: Any) -> Any:
        folders.append(task.checkpoint)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        for kind in {strategy.kind for strategy in params[0].strategies.values()}:
            patch.setattr(f"graft.training.strategies.{kind}.train", note)
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
