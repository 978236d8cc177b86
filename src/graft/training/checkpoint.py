"""State of a training between epochs: the best epoch so far, early stopping, a checkpoint to carry on from.

One callback holds it all, because a training that was killed ends with the figures it would have had only if
weights, optimizer, random layers, best epoch, patience and history are restored together. The order of images
follows from seed and epoch.
"""

import json
import math
import shutil
import time
import zipfile
import zlib
from array import array as number_array
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from graft.core.errors import GraftError, first_line
from graft.core.files import replaced_file
from graft.core.progress import console
from graft.training.batches import Batches

# Log loss on validation: unlike accuracy it still moves on small validation sets, and label smoothing or class
# weights, which are part of the training loss, do not blur it.
MONITOR = "val_log_loss"
# Epochs whose median figure counts: of a hundred epochs on a few dozen validation images one is lucky by itself.
STEADY = 3
CHECKPOINT_FILE = "checkpoint.npz"
STEP_COLUMNS = ("epoch", "step", "loss", "accuracy")


@dataclass(frozen=True)
class Checkpoint:
    """A training as it was at the end of an epoch.

    Attributes:
        record: epochs, steps, best_epoch and best_value so far.
        state: every variable of model and optimizer, also those of dropout and augmentation.
        best_weights: the model's weights of its best epoch.
    """

    record: dict[str, Any]
    state: list[np.ndarray]
    best_weights: list[np.ndarray]

    def write(self, folder: Path) -> None:
        """Put this checkpoint in the place of the one before, whole or not at all."""
        arrays = {f"state_{i}": array for i, array in enumerate(self.state)}
        arrays |= {f"best_{i}": array for i, array in enumerate(self.best_weights)}
        record = np.frombuffer(json.dumps(self.record).encode(), np.uint8)
        # A zip of arrays rather than Keras' HDF5: it has a checksum for each, and a full disk is a plain error.
        with replaced_file(folder / CHECKPOINT_FILE) as partial, partial.open("wb") as stream:
            np.savez(stream, record=record, **arrays)  # type: ignore[arg-type]


def read_checkpoint(folder: Path) -> Checkpoint | None:
    """Return the checkpoint in ``folder``, or None where there is none.

    A damaged checkpoint is deleted with a warning and treated as missing.

    Raises:
        GraftError: it is there and cannot be read; it stays.
    """
    path = folder / CHECKPOINT_FILE
    if not path.is_file():
        return None
    try:
        with np.load(path) as file:
            arrays = {name: file[name] for name in file.files}
        record = json.loads(arrays.pop("record").tobytes())
        states = sum(name.startswith("state_") for name in arrays)
        return Checkpoint(
            record=record,
            state=[arrays[f"state_{i}"] for i in range(states)],
            best_weights=[arrays[f"best_{i}"] for i in range(len(arrays) - states)],
        )
    except OSError as error:
        raise GraftError(
            f"The checkpoint {path} cannot be read ({first_line(error)})",
            "Run the same command again when it can be; or remove it, to train from the first epoch",
        ) from error
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        console.print(f"The checkpoint in {folder} is damaged: starting from the first epoch", soft_wrap=True)
        shutil.rmtree(folder, ignore_errors=True)
        return None


class TrainingState(keras.callbacks.Callback):
    """A callback that follows a ``fit``, holds its best weights and writes a checkpoint.

    Args:
        batches: the training batches, put into the order of each epoch as it begins.
        patience: epochs without a better validation log loss, as the median of three epochs, before training stops.
        every_epoch: leave a checkpoint after each epoch, and not only at the end.
        keep: ``best`` or ``last``, the epoch whose weights the model gets; the last counts as better than those before.
        folder: where the checkpoint lies, one folder per piece of work; None keeps none.
    """

    def __init__(
        self, batches: Batches, patience: int, folder: Path | None = None, keep: str = "best", every_epoch: bool = True
    ) -> None:
        super().__init__()
        self.batches = batches
        self.patience = patience
        self.keep = keep
        self.folder = folder
        self.every_epoch = every_epoch
        self.epochs: list[dict[str, float]] = []
        # Columns of bare numbers: there is a step for every batch of every epoch.
        self.steps: dict[str, number_array[float]] = {name: number_array("d") for name in STEP_COLUMNS}
        self.best_epoch = -1
        self.best_value = math.inf
        self.best_weights: list[np.ndarray] | None = None
        self._own_values: list[np.ndarray] | None = None  # of the weights, while their running means stand in

    def resume(self) -> int:
        """Restore the checkpoint where there is one; return the epoch to go on with, 0 for a fresh start.

        The model must be compiled and its optimizer built.

        Raises:
            GraftError: the checkpoint is of another model. It is gone then: the next try starts afresh.
        """
        checkpoint = read_checkpoint(self.folder) if self.folder else None
        if checkpoint is None:
            return 0
        variables = self._variables()
        shapes = [tuple(variable.shape) for variable in variables]
        if shapes != [array.shape for array in checkpoint.state]:
            assert self.folder is not None  # a checkpoint was read from it
            shutil.rmtree(self.folder, ignore_errors=True)
            raise GraftError(
                f"The checkpoint in {self.folder} is of another model than the one that is trained now",
                "It has been removed: run the same command again, to train from the first epoch",
            )
        for variable, array in zip(variables, checkpoint.state, strict=True):
            variable.assign(array)
        self.best_weights = checkpoint.best_weights
        record = checkpoint.record
        self.epochs = record["epochs"]
        self.steps = {name: number_array("d", values) for name, values in record["steps"].items()}
        self.best_epoch, self.best_value = record["best_epoch"], record["best_value"]
        return len(self.epochs)

    @property
    def is_finished(self) -> bool:
        """Whether patience has run out, also in a checkpoint that was killed just then."""
        return len(self.epochs) - 1 - self.best_epoch >= self.patience

    def restore_best(self) -> None:
        """Set the model's weights to those of its best epoch."""
        if self.best_weights is not None:
            self.model.set_weights(self.best_weights)

    # --- called by Keras ------------------------------------------------------------------------------------

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Put the batches in order and start to count."""
        # Not left to the batches' own on_epoch_end, which Keras calls once before the first epoch too.
        self.batches.start_epoch(epoch)
        self._epoch_start = time.perf_counter()
        self._sums = {"loss": (0.0, 0), "accuracy": (0.0, 0)}
        self._images_done, self._loss = 0, 0.0

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Record the figures of the batch; refuse a loss that is no number."""
        logs = logs or {}
        self._refuse_not_finite("loss", logs["loss"], f", step {batch + 1}")
        size = min(self.batches.batch_size, len(self.batches.labels) - self._images_done)
        filled = size + -size % self.batches.devices  # the loss counts what fills a batch up too
        step: dict[str, float] = {"epoch": len(self.epochs), "step": len(self.steps["step"])}
        # Keras reports means since the epoch began; a batch's own value is the difference of two sums.
        for name, count in (("loss", filled), ("accuracy", size)):
            sum_before, seen = self._sums[name]
            sum_now = float(logs[name]) * (seen + count)
            step[name] = (sum_now - sum_before) / count
            self._sums[name] = (sum_now, seen + count)
        self._images_done += size
        self._loss += step["loss"] * size
        for column, value in step.items():
            self.steps[column].append(value)

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Assign the weights' running means, where the optimizer has any: they are what is validated."""
        optimizer = self._inner_optimizer()
        if optimizer.use_ema:
            weights = optimizer._trainable_variables
            self._own_values = [keras.ops.convert_to_numpy(weight) for weight in weights]
            for weight, mean in zip(weights, optimizer._model_variables_moving_average, strict=True):
                weight.assign(mean)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Record the figures of the epoch, save its weights if they are the best, end where patience does."""
        figures = {name: float(value) for name, value in (logs or {}).items()}
        figures["loss"] = self._loss / self._images_done
        # The step that ends the epoch may be the one that breaks the model: its own loss was of before.
        self._refuse_not_finite("validation log loss", figures[MONITOR])
        seconds = time.perf_counter() - self._epoch_start
        self.epochs.append(
            {"epoch": epoch, **figures, "learning_rate": self._learning_rate(), "seconds": round(seconds, 3)}
        )
        latest = float(np.median([one[MONITOR] for one in self.epochs[-STEADY:]]))
        improved = self.keep == "last" or latest < self.best_value
        if improved:
            self.best_epoch, self.best_value = epoch, latest
            self.best_weights = self.model.get_weights()
        if self._own_values is not None:
            weights = self._inner_optimizer()._trainable_variables
            for weight, value in zip(weights, self._own_values, strict=True):
                weight.assign(value)
            self._own_values = None
        if self.folder is not None and self.every_epoch:
            self._write_checkpoint(self.folder)
        if self.is_finished:
            self.model.stop_training = True

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Write the checkpoint of the whole training, where there was none after each epoch."""
        if self.folder is not None and not self.every_epoch:
            self._write_checkpoint(self.folder)

    # --------------------------------------------------------------------------------------------------------

    def _inner_optimizer(self) -> keras.optimizers.Optimizer:
        """Return the optimizer asked for: with mixed_float16 Keras puts another around it, which scales the loss."""
        return getattr(self.model.optimizer, "inner_optimizer", self.model.optimizer)

    def _variables(self) -> list[keras.Variable]:
        """Return all that training changes; unlike ``weights`` it counts the seeds of random layers in."""
        return [*self.model.variables, *self.model.optimizer.variables]

    def _write_checkpoint(self, folder: Path) -> None:
        record = {
            "epochs": self.epochs,
            "steps": {name: values.tolist() for name, values in self.steps.items()},
            "best_epoch": self.best_epoch,
            "best_value": self.best_value,
        }
        state = [keras.ops.convert_to_numpy(variable) for variable in self._variables()]
        try:
            Checkpoint(record, state, self.best_weights or []).write(folder)
        except OSError as error:
            raise GraftError(
                f"The checkpoint in {folder} cannot be written ({first_line(error)})",
                "Free some disk space and run the same command again: it carries on from the epoch before",
            ) from error

    def _learning_rate(self) -> float:
        return float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))

    def _refuse_not_finite(self, name: str, value: float, step: str = "") -> None:
        if not math.isfinite(value):
            rate = self._learning_rate()
            raise GraftError(
                f"The {name} became {value} in epoch {len(self.epochs) + 1}{step}, at learning rate {rate:g}",
                f"Try a learning rate of {rate / 10:g}",
            )
