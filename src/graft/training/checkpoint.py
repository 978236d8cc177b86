"""State of a training between epochs: the best epoch so far, early stopping, and a checkpoint to carry on from.

One callback holds it all, because a training that was killed ends with the figures it would have had only if
weights, optimizer, random layers, best epoch, patience and history are restored together. The order of images
follows from seed and epoch.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np

from graft.errors import GraftError, first_line
from graft.progress import console
from graft.training.batches import Batches

# Log loss on validation: unlike accuracy it still moves on small validation sets, and label smoothing or class
# weights, which are part of the training loss, do not blur it.
MONITOR = "val_log_loss"
RECORD = "record.json"


def read_checkpoint(folder: Path) -> dict[str, Any] | None:
    """The record of the checkpoint in ``folder``, or None where there is none.

    One that is not whole, or not what was written, is removed with a word about it and counts as none.
    """
    if not (folder / RECORD).is_file():
        return None
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        if all(_sha256(folder / name) == digest for name, digest in record["files"].items()):
            assert isinstance(record, dict)
            return record
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        pass  # a file that is gone, and JSON that is none or says something else
    console.print(f"The checkpoint in {folder} is damaged: starting from the first epoch", soft_wrap=True)
    shutil.rmtree(folder, ignore_errors=True)
    return None


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


class TrainingState(keras.callbacks.Callback):
    """Follows a ``fit``, keeps its best weights and writes a checkpoint after each epoch.

    Args:
        batches: the training batches, put into the order of each epoch as it begins.
        patience: epochs without a better validation log loss before training stops.
        folder: where the checkpoint lies, one folder per piece of work; None keeps none.
    """

    def __init__(self, batches: Batches, patience: int, folder: Path | None = None) -> None:
        super().__init__()
        self.batches = batches
        self.patience = patience
        self.folder = folder
        self.epochs: list[dict[str, float]] = []
        self.steps: list[dict[str, float]] = []
        self.best_epoch = -1
        self.best_value = math.inf
        self.best_weights: list[np.ndarray] | None = None

    def resume(self) -> int:
        """Restores the checkpoint where there is a whole one; returns the epoch to go on with (0: from start).

        The model must be compiled and its optimizer built.

        Raises:
            GraftError: the checkpoint is of another model. It is gone then, so that the next try starts afresh.
        """
        record = read_checkpoint(self.folder) if self.folder else None
        if record is None:
            return 0
        assert self.folder is not None  # a record was read from it
        try:
            self.model.load_weights(self.folder / record["best"])
            self.best_weights = self.model.get_weights()
            self.model.load_weights(self.folder / record["last"])
            for state, values in zip(self._random_states(), record["random_states"], strict=True):
                state.assign(values)
        except Exception as error:
            # Keras raises all kinds. The model may be half filled by now, so going on is not safe.
            shutil.rmtree(self.folder, ignore_errors=True)
            raise GraftError(
                f"The checkpoint in {self.folder} does not fit the model that is trained now ({first_line(error)})",
                "It has been removed: run the same command again, to train from the first epoch",
            ) from error
        self.epochs, self.steps = record["epochs"], record["steps"]
        self.best_epoch, self.best_value = record["best_epoch"], record["best_value"]
        return len(self.epochs)

    @property
    def is_finished(self) -> bool:
        """Whether patience has run out, also in a checkpoint that was killed just then."""
        return len(self.epochs) - 1 - self.best_epoch >= self.patience

    def restore_best(self) -> None:
        """Gives the model the weights of its best epoch."""
        if self.best_weights is not None:
            self.model.set_weights(self.best_weights)

    # --- called by Keras -------------------------------------------------------------------------------------

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        # Not left to the batches' own on_epoch_end, which Keras calls once before the first epoch too.
        self.batches.start_epoch(epoch)
        self._epoch_start = time.perf_counter()
        self._sums = {"loss": 0.0, "accuracy": 0.0}
        self._seen = 0

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        logs = logs or {}
        self._refuse_not_finite("loss", logs["loss"], f", step {batch + 1}")
        # Keras reports means since the epoch began; a batch's own value is the difference of two sums.
        size = min(self.batches.batch_size, len(self.batches.labels) - self._seen)
        seen = self._seen + size
        step: dict[str, float] = {"epoch": len(self.epochs), "step": len(self.steps)}
        for name, sum_before in self._sums.items():
            sum_now = float(logs[name]) * seen
            step[name] = (sum_now - sum_before) / size
            self._sums[name] = sum_now
        self._seen = seen
        self.steps.append(step)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        figures = {name: float(value) for name, value in (logs or {}).items()}
        # The step that ends the epoch may be the one that breaks the model: its own loss was of before.
        self._refuse_not_finite("validation log loss", figures[MONITOR])
        seconds = time.perf_counter() - self._epoch_start
        self.epochs.append(
            {"epoch": epoch, **figures, "learning_rate": self._learning_rate(), "seconds": round(seconds, 3)}
        )
        improved = figures[MONITOR] < self.best_value
        if improved:
            self.best_epoch, self.best_value = epoch, figures[MONITOR]
            self.best_weights = self.model.get_weights()
        if self.folder is not None:
            self._write_checkpoint(epoch)
        if self.is_finished:
            self.model.stop_training = True

    def _random_states(self) -> list[keras.Variable]:
        """The counters of dropout and augmentation, which Keras leaves out of files of weights."""
        weights = {id(weight) for weight in self.model.weights}
        return [variable for variable in self.model.variables if id(variable) not in weights]

    def _learning_rate(self) -> float:
        return float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))

    def _refuse_not_finite(self, name: str, value: float, step: str = "") -> None:
        if not math.isfinite(value):
            rate = self._learning_rate()
            raise GraftError(
                f"The {name} became {value} in epoch {len(self.epochs) + 1}{step}, at learning rate {rate:g}",
                f"Try a learning rate of {rate / 10:g}",
            )

    # --- the checkpoint on disk ------------------------------------------------------------------------------

    def _write_checkpoint(self, epoch: int) -> None:
        """Weights first, then the record that names them: killed in between, the old record still holds."""
        assert self.folder is not None
        self.folder.mkdir(parents=True, exist_ok=True)
        last = f"epoch-{epoch}.weights.h5"
        best = f"epoch-{self.best_epoch}.weights.h5"
        try:
            self.model.save_weights(self.folder / last, overwrite=True)
            record = {
                "last": last,
                "best": best,
                "random_states": [state.numpy().tolist() for state in self._random_states()],
                "files": {name: _sha256(self.folder / name) for name in (last, best)},
                "best_epoch": self.best_epoch,
                "best_value": self.best_value,
                "epochs": self.epochs,
                "steps": self.steps,
            }
            partial = self.folder / f"{RECORD}.partial"
            partial.write_text(json.dumps(record), encoding="utf-8")
            partial.replace(self.folder / RECORD)
        except (OSError, RuntimeError) as error:  # h5py reports a full disk as either
            raise GraftError(
                f"The checkpoint in {self.folder} cannot be written ({first_line(error)})",
                "Free some disk space and run the same command again: it carries on from the epoch before",
            ) from error
        for path in self.folder.glob("epoch-*.weights.h5"):
            if path.name not in (last, best):
                path.unlink()
