"""Fit for every strategy: loss, optimizer, early stopping on validation, checkpoint, progress."""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from graft.core.errors import GraftError
from graft.core.params.strategy_params import FitParams
from graft.core.progress import console
from graft.networks.class_weights import balanced_class_weights
from graft.networks.engines.devices import device_count
from graft.training.batch_norm import has_batch_norm, set_batch_norm_statistics
from graft.training.batches import Batches, Mix
from graft.training.checkpoint import TrainingState
from graft.training.graph_epochs import fit_features, suits_graph
from graft.training.optimizers import build_optimizer
from graft.training.pointwise import pointwise_as_products


@dataclass(frozen=True)
class Labelled:
    """Inputs with their class indices: images uint8 ``[N, S, S, 3]`` or features float32 ``[N, D]``."""

    inputs: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class FitResult:
    """The record of a fit beside the model, whose weights are those of the best epoch.

    Attributes:
        epochs: a row per epoch: loss, accuracy, log_loss and their val_ twins, learning_rate, seconds.
        steps: a row per batch: epoch, step, loss, accuracy, of that batch alone.
        best_epoch: index of the epoch that the weights are of.
    """

    epochs: pd.DataFrame
    steps: pd.DataFrame
    best_epoch: int


def fit(
    model: keras.Model,
    train: Labelled,
    val: Labelled,
    params: FitParams,
    *,
    classes: int,
    seed: int,
    label: str,
    checkpoint: Path | None = None,
    checkpoint_epochs: bool = True,
    augmentation: Sequence[keras.layers.Layer] = (),
    mix: Mix | None = None,
    views: int = 1,
    plain: Callable[[], np.ndarray] | None = None,
    rate_factors: Mapping[str, float] | None = None,
) -> FitResult:
    """Train ``model`` (inputs to logits) and leave it with the weights of its best epoch, or its last.

    The statistics of batch-norm layers that were trained are then set anew, see :mod:`graft.training.batch_norm`.

    Args:
        model: float32 inputs to float32 logits ``[N, C]``.
        train, val: what to train on, and what chooses the epoch.
        params: epochs, patience, batch size, optimizer, label smoothing, class weights.
        checkpoint: folder to keep a checkpoint in, and to carry on from if one is there.
        checkpoint_epochs: write it after every epoch, and not only after the last.
        augmentation: layers that change images before the model, in training alone.
        mix: blends the images of a training batch, see :class:`graft.training.mixing.Mixing`.
        views: how many views of each image ``train`` holds, see :class:`Batches`.
        plain: training inputs as inference shows them to the model, where those of ``train`` are changed ones.
        rate_factors: see :func:`graft.training.optimizers.build_optimizer`.

    Raises:
        GraftError: the loss stopped being a number, a batch does not fit into memory, or the checkpoint cannot be
            written.
    """
    kept, model = model, with_augmentation(model, augmentation)
    weights = balanced_class_weights(train.labels, classes) if params.class_weight == "balanced" else None
    devices = device_count(model)
    batches = Batches(train.inputs, train.labels, classes, params.batch_size, seed, weights, mix, views, devices)
    val_batches = Batches(val.inputs, val.labels, classes, max(params.batch_size, 64), devices=devices)
    model.compile(
        optimizer=build_optimizer(params, len(batches), rate_factors),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=params.label_smoothing),
        metrics=[_Accuracy(name="accuracy"), _LogLoss(from_logits=True, name="log_loss")],
    )
    model.optimizer.build(model.trainable_variables)
    state = TrainingState(batches, params.patience, checkpoint, params.keep, checkpoint_epochs)
    state.set_model(model)
    first = state.resume()
    total = params.epochs
    if first:
        console.print(f"{label}: carrying on after epoch {first} of {total}")
    if first < total and not state.is_finished:
        lines = EpochLines(label, total, len(batches))
        try:
            if suits_graph(batches):
                fit_features(model, batches, val_batches, total, first, [state, lines])
            else:
                with pointwise_as_products(model):
                    model.fit(
                        batches,
                        epochs=total,
                        initial_epoch=first,
                        shuffle=False,  # the batches shuffle themselves, reproducibly
                        validation_data=val_batches,
                        callbacks=[state, lines],
                        verbose=0,
                    )
        except Exception as error:
            raise explain_out_of_memory(error, batches) or error from None
        finally:
            lines.close()
    state.restore_best()
    inputs = plain() if plain is not None and has_batch_norm(kept) else train.inputs
    set_batch_norm_statistics(kept, inputs, val_batches.batch_size)
    steps = pd.DataFrame(state.steps).astype({"epoch": int, "step": int})
    return FitResult(pd.DataFrame(state.epochs), steps, state.best_epoch)


def with_augmentation(model: keras.Model, layers: Sequence[keras.layers.Layer]) -> keras.Model:
    """Return the model with augmentation before it, for training only; weights are shared with ``model``."""
    if not layers:
        return model
    inputs = keras.Input(model.input_shape[1:], dtype="float32", name="image")
    x = inputs
    for layer in layers:
        x = layer(x)
    return keras.Model(inputs, model(x), name="training")


class _Accuracy(keras.metrics.CategoricalAccuracy):
    """Accuracy of images by their labels, whatever they weigh in the loss; without those that only fill a batch up."""

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        return super().update_state(y_true, y_pred, keras.ops.sum(y_true, axis=-1))


class _LogLoss(keras.metrics.CategoricalCrossentropy):
    """Log loss, counted as :class:`_Accuracy` counts."""

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        return super().update_state(y_true, y_pred, keras.ops.sum(y_true, axis=-1))


class EpochLines(keras.callbacks.Callback):
    """Progress of a fit: a line that is rewritten on a terminal; elsewhere a new one every few seconds."""

    SECONDS_BETWEEN_LINES = 10.0

    def __init__(self, label: str, epochs: int, steps: int) -> None:
        super().__init__()
        self.label, self.total_epochs, self.total_steps = label, epochs, steps
        self.figures = ""
        self.last_line = time.perf_counter()
        self.is_shown = True
        self.status: Any = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        if console.is_terminal:
            self.status = console.status(self.label)
            self.status.start()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.epoch = epoch + 1

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if self.status is not None:
            share = (batch + 1) / self.total_steps
            bar = "━" * round(20 * share) + " " * (20 - round(20 * share))
            self.status.update(f"{self.label}  epoch {self.epoch}/{self.total_epochs} {bar}{self.figures}")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        logs = logs or {}
        self.figures = (
            f"  loss {logs['loss']:.4f}  val log loss {logs['val_log_loss']:.4f}"
            f"  val accuracy {logs['val_accuracy']:.2%}"
        )
        self.is_shown = False
        if self.status is None and time.perf_counter() - self.last_line > self.SECONDS_BETWEEN_LINES:
            self._line()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self.close()
        if not self.is_shown:
            self._line()

    def close(self) -> None:
        """Give the terminal back, also after a fit that failed."""
        if self.status is not None:
            self.status.stop()

    def _line(self) -> None:
        print(f"{self.label}: epoch {self.epoch}/{self.total_epochs}{self.figures}", file=sys.stdout, flush=True)
        self.last_line = time.perf_counter()
        self.is_shown = True


# TensorFlow's ResourceExhaustedError, what XLA says, and Python's own.
SIGNS = ("ResourceExhausted", "RESOURCE_EXHAUSTED", "OOM when allocating", "MemoryError")


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error is for want of memory, by what it is called; there is no common class."""
    return any(sign in f"{type(error).__name__}: {error}" for sign in SIGNS)


def explain_out_of_memory(error: Exception, batches: Batches) -> GraftError | None:
    """Return the error to raise instead, or None where it is something else."""
    if not is_out_of_memory(error):
        return None
    half = batches.batch_size // batches.devices // 2 * batches.devices
    fix = f"Set batch_size: {half}" if half else "Lower image_size, or take a smaller backbone"
    return GraftError(f"A batch of {batches.batch_size} does not fit into memory", fix)
