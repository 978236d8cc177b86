"""A training that was stopped and started again ends as one that ran through."""

import errno
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from tiny import clock, tinted_images, write_hub_module

from graft.core.errors import GraftError
from graft.core.params.backbone_params import HubBackboneParams
from graft.core.params.strategy_params import AugmentParams, FineTuneParams, HeadParams, ScratchParams
from graft.networks.decode_images import DecodedImages
from graft.training.augmentation import augmentation_layers
from graft.training.checkpoint import CHECKPOINT_FILE, Checkpoint, TrainingState, read_checkpoint
from graft.training.fit import FitResult, fit
from graft.training.mixing import Mixing
from graft.training.strategies import fine_tune
from graft.training.strategies.scratch import build_network
from graft.training.strategy import Task, Trained

TRAIN, VAL = DecodedImages(*tinted_images(22)), DecodedImages(*tinted_images(8, seed=1))
# All that is random in a training, all that an optimizer keeps, and batch norm.
AUGMENT = AugmentParams(flip="horizontal", rotate=0.1, zoom=0.2, translate=0.1, contrast=0.3, brightness=0.2)
PARAMS = ScratchParams(
    kind="scratch",
    epochs=5,
    patience=5,
    batch_size=8,
    learning_rate=0.02,
    optimizer="adamw",
    weight_decay=0.05,
    schedule="cosine",
    warm_up_epochs=1,
    ema_momentum=0.6,
    head=HeadParams(dropout=0.4),
    filters=[4, 6],
    augment=AUGMENT.model_copy(update={"mix_up": 0.2, "cut_mix": 1.0}),
)


def train(checkpoint: Path | None, params: ScratchParams = PARAMS) -> tuple[keras.Model, FitResult]:
    keras.utils.set_random_seed(5)
    model = build_network(params, 16, 2, seed=5)
    result = fit(
        model,
        TRAIN,
        VAL,
        params,
        classes=2,
        seed=5,
        label="test",
        checkpoint=checkpoint,
        augmentation=augmentation_layers(params.augment, seed=5),
        mix=Mixing(params.augment),
    )
    return model, result


@pytest.fixture(scope="module")
def through() -> tuple[keras.Model, FitResult]:
    """The training that nobody stopped."""
    return train(checkpoint=None)


def stop_at(patch: pytest.MonkeyPatch, epoch: int, where: str) -> None:
    """Has Ctrl-C come once, at the beginning or in the middle of an epoch."""
    left = [KeyboardInterrupt]
    hook = {"begin": "on_epoch_begin", "middle": "on_train_batch_end"}[where]
    original = getattr(TrainingState, hook)

    def interrupt(self: TrainingState, index: int, logs: dict[str, Any] | None = None) -> None:
        is_due = len(self.epochs) == epoch and (where == "begin" or index == 1)
        if is_due and left:
            raise left.pop()
        original(self, index, logs)

    patch.setattr(TrainingState, hook, interrupt)


@pytest.fixture
def stop(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, str], None]:
    return functools.partial(stop_at, monkeypatch)


def assert_same(one: tuple[keras.Model, FitResult], other: tuple[keras.Model, FitResult]) -> None:
    (model, result), (again, again_result) = one, other
    for weight, again_weight in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_allclose(weight, again_weight, rtol=1e-5, atol=1e-6)
    assert result.best_epoch == again_result.best_epoch
    figures = [frame.epochs.drop(columns="seconds") for frame in (result, again_result)]
    np.testing.assert_allclose(figures[0], figures[1], rtol=1e-4, atol=1e-6)
    assert list(result.steps) == list(again_result.steps)
    np.testing.assert_allclose(result.steps, again_result.steps, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(("epoch", "where"), [(0, "middle"), (3, "middle"), (4, "begin")])
def test_a_training_stopped_by_ctrl_c_ends_as_one_that_ran_through(
    epoch: int, where: str, through: Any, stop: Callable[[int, str], None], tmp_path: Path
) -> None:
    stop(epoch, where)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "checkpoint")
    assert_same(train(tmp_path / "checkpoint"), through)


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
import test_resume
from graft.training.checkpoint import TrainingState
original = TrainingState.on_train_batch_end
def kill(self, batch, logs=None):
    original(self, batch, logs)
    if len(self.epochs) == 2 and batch == 1:
        os.kill(os.getpid(), signal.SIGKILL)
TrainingState.on_train_batch_end = kill
test_resume.train(Path(sys.argv[1]))
"""


@pytest.mark.slow
def test_a_training_that_was_killed_ends_as_one_that_ran_through(through: Any, tmp_path: Path) -> None:
    here = Path(__file__).parent
    command = [sys.executable, "-c", KILLED, str(tmp_path / "checkpoint"), str(here), str(here.parent)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=dict(os.environ))
    assert done.returncode == -signal.SIGKILL, done.stderr
    left = read_checkpoint(tmp_path / "checkpoint")
    assert left is not None
    assert len(left.record["epochs"]) == 2
    assert_same(train(tmp_path / "checkpoint"), through)


def test_a_training_killed_after_its_last_epoch_is_not_trained_again(through: Any, tmp_path: Path) -> None:
    train(tmp_path / "checkpoint")
    before = (tmp_path / "checkpoint" / CHECKPOINT_FILE).read_bytes()
    assert_same(train(tmp_path / "checkpoint"), through)
    assert (tmp_path / "checkpoint" / CHECKPOINT_FILE).read_bytes() == before


def test_patience_goes_on_counting(stop: Callable[[int, str], None], tmp_path: Path) -> None:
    wild = PARAMS.model_copy(update={"epochs": 30, "patience": 2, "learning_rate": 2.0})
    expected = train(None, wild)
    assert len(expected[1].epochs) < 30
    stop(len(expected[1].epochs) - 1, "begin")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "checkpoint", wild)
    _, result = train(tmp_path / "checkpoint", wild)
    assert len(result.epochs) == len(expected[1].epochs)
    assert result.best_epoch == expected[1].best_epoch
    # Stopped by patience is finished: nothing is trained on top.
    _, again = train(tmp_path / "checkpoint", wild)
    assert len(again.epochs) == len(expected[1].epochs)


def test_one_file_is_all_that_is_left(tmp_path: Path) -> None:
    train(tmp_path / "checkpoint")
    assert [path.name for path in (tmp_path / "checkpoint").iterdir()] == [CHECKPOINT_FILE]


# --- checkpoints that cannot be used --------------------------------------------------------------------------


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def leave_arrays_out(path: Path) -> None:
    np.savez(path, state_0=np.zeros(3))


def write_something_else(path: Path) -> None:
    path.write_text("not a zip of arrays")


DAMAGES = [cut_off, flip_a_byte, empty, leave_arrays_out, write_something_else]


@pytest.fixture(scope="module")
def whole_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a training stopped after its second epoch."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, 2, "begin")
        with pytest.raises(KeyboardInterrupt):
            train(folder)
    return folder / CHECKPOINT_FILE


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_counts_as_none(
    damage: Callable[[Path], None], whole_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "checkpoint" / CHECKPOINT_FILE
    path.parent.mkdir()
    shutil.copyfile(whole_checkpoint, path)
    checkpoint = read_checkpoint(path.parent)
    assert checkpoint is not None
    assert len(checkpoint.record["epochs"]) == 2
    damage(path)
    assert read_checkpoint(path.parent) is None
    assert "damaged: starting from the first epoch" in capsys.readouterr().out
    assert not path.parent.exists()


def test_a_training_with_a_damaged_checkpoint_starts_afresh(
    through: Any, whole_checkpoint: Path, tmp_path: Path
) -> None:
    shutil.copyfile(whole_checkpoint, tmp_path / CHECKPOINT_FILE)
    cut_off(tmp_path / CHECKPOINT_FILE)
    assert_same(train(tmp_path), through)


def test_what_a_kill_left_half_written_is_not_in_the_way(through: Any, whole_checkpoint: Path, tmp_path: Path) -> None:
    shutil.copyfile(whole_checkpoint, tmp_path / CHECKPOINT_FILE)
    (tmp_path / f"{CHECKPOINT_FILE}.partial").write_bytes(b"half of it")
    assert_same(train(tmp_path), through)


def test_the_checkpoint_of_another_model_is_an_error_once(tmp_path: Path) -> None:
    train(tmp_path / "checkpoint", PARAMS.model_copy(update={"epochs": 2}))
    wider = PARAMS.model_copy(update={"filters": [5, 7], "epochs": 2})
    with pytest.raises(GraftError, match="another model than the one that is trained now.* same command again"):
        train(tmp_path / "checkpoint", wider)
    train(tmp_path / "checkpoint", wider)


def test_a_full_disk_leaves_the_checkpoint_before(
    through: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    savez = np.savez

    def fill_the_disk(stream: Any, record: np.ndarray, **arrays: np.ndarray) -> None:
        if len(json.loads(record.tobytes())["epochs"]) == 3:
            stream.write(b"half of it")
            raise OSError(28, "No space left on device")
        savez(stream, record=record, **arrays)

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", fill_the_disk)
        with pytest.raises(GraftError, match=r"cannot be written .*No space left.* carries on from the epoch before"):
            train(tmp_path)
    left = read_checkpoint(tmp_path)
    assert left is not None
    assert len(left.record["epochs"]) == 2
    assert_same(train(tmp_path), through)


# --- the strategy with two phases -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hub_module(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_hub_module(tmp_path_factory.mktemp("hub") / "module")


@pytest.fixture
def fine_tuned(hub_module: Path, tmp_path: Path) -> Callable[[str], Trained]:
    params = FineTuneParams(
        kind="fine_tune",
        backbone=HubBackboneParams(source="hub", name=str(hub_module)),
        unfreeze="all",
        batch_norm="update",
        epochs=4,
        patience=4,
        batch_size=8,
        learning_rate=0.01,
        head=HeadParams(dropout=0.4),
        head_epochs=2,
        augment=AUGMENT,
    )

    def run(name: str) -> Trained:
        keras.utils.set_random_seed(5)
        return fine_tune.train(params, Task("tune", ["a", "b"], TRAIN, VAL, 16, 5, tmp_path, tmp_path / name, clock()))

    return run


@pytest.mark.slow
def test_fine_tuning_carries_on_in_its_second_phase(
    fine_tuned: Callable[[str], Trained], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = fine_tuned("through")
    original = TrainingState.on_epoch_begin

    def interrupt(self: TrainingState, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if epoch == 2 and self.folder is not None:
            raise KeyboardInterrupt
        original(self, epoch, logs)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingState, "on_epoch_begin", interrupt)
        with pytest.raises(KeyboardInterrupt):
            fine_tuned("stopped")
    capsys.readouterr()
    found = fine_tuned("stopped")
    assert "features for the head" not in capsys.readouterr().out
    assert_same((found.model, found.fit), (expected.model, expected.fit))
    np.testing.assert_allclose(found.val_logits, expected.val_logits, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_fine_tuning_with_a_damaged_checkpoint_starts_with_the_head_again(
    fine_tuned: Callable[[str], Trained], tmp_path: Path
) -> None:
    expected = fine_tuned("whole")
    cut_off(tmp_path / "whole" / CHECKPOINT_FILE)
    found = fine_tuned("whole")
    assert_same((found.model, found.fit), (expected.model, expected.fit))


def test_a_checkpoint_that_cannot_be_read_now_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network disk that does not answer took hours of fine-tuning with it."""

    def fail(path: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")

    Checkpoint({}, [np.ones(2)], []).write(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(np, "load", fail)
        with pytest.raises(GraftError, match="cannot be read.*Input/output error"):
            read_checkpoint(tmp_path)
    checkpoint = read_checkpoint(tmp_path)
    assert checkpoint is not None
    assert checkpoint.state[0].tolist() == [1, 1]
