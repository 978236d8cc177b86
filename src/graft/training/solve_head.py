"""Solve a linear head: the exact head's figures in the form of a fit, its weights in a Keras model."""

import time
from collections.abc import Sequence
from typing import Literal

import keras
import numpy as np
import pandas as pd

from graft.core.errors import GraftError
from graft.core.progress import console
from graft.networks.class_weights import balanced_class_weights
from graft.networks.exact_head import FOLDS, ExactHead, PenaltyScore, fit_exact_head
from graft.training.fit import FitResult, Labelled
from graft.training.strategy import OutOfFoldLogits, Task


def solve_head(
    head: keras.Model,
    train: Labelled,
    val: Labelled,
    task: Task,
    class_weight: Literal["none", "balanced"] = "none",
    folds: int = FOLDS,
) -> tuple[FitResult, OutOfFoldLogits]:
    """Set the one dense layer of ``head`` to the weights of the exact head.

    The fit has an epoch, of one step, for each penalty that was tried, from the largest down. Its figures are those of
    a head with that penalty, fitted to all training images, and beside them those out of fold, which choose.

    Args:
        head: features to logits, without hidden layers.
        train: features of the training images, once for each way that they are mirrored, those as they are first.
        val: features of the validation images; they choose nothing.
        task: groups and labels of the training images.
        class_weight: ``balanced`` has every class count the same in the loss.
        folds: of the cross-validation.

    Raises:
        GraftError: all training images belong together, so that none can be left out.
    """
    count = len(task.train.labels)
    views = len(train.labels) // count
    groups = np.arange(count) if task.groups is None else np.asarray(task.groups)
    if len(np.unique(groups)) < 2:
        raise GraftError(
            f"All {count} training images belong to one group, so that cross-validation can leave none of them out",
            f"Set solver: sgd under the strategy {task.name} in params.yaml, or bring images of another group",
        )
    classes = len(task.classes)
    weights = None
    if class_weight == "balanced":
        weights = balanced_class_weights(train.labels, classes)[train.labels]
    seconds = [time.perf_counter()]

    with task.clock.span("head"):
        exact = fit_exact_head(
            train.inputs,
            train.labels,
            classes,
            groups=np.tile(groups, views),
            weights=weights,
            folds=folds,
            seed=task.seed,
            val=(val.inputs, val.labels),
            on_score=lambda score: seconds.append(time.perf_counter()),
        )
    head.get_layer("logits").set_weights([exact.kernel, exact.bias])
    found = exact.path[exact.chosen]
    console.print(
        f"{task.name}: penalty {found.penalty:.3g} of {len(exact.path)} tried, out of fold log loss "
        f"{found.out_of_fold.log_loss:.4f}, accuracy {found.out_of_fold.accuracy:.2%}",
        soft_wrap=True,
    )
    fit = penalties_as_fit(exact, np.diff(seconds))
    return fit, OutOfFoldLogits(exact.out_of_fold[:count], np.asarray(task.train.labels), groups)


def penalties_as_fit(head: ExactHead, seconds: Sequence[float] | np.ndarray) -> FitResult:
    """Return the penalties that were tried in the form of a fit: an epoch of one step for each.

    Args:
        head: solved.
        seconds: that each penalty took.
    """
    epochs = pd.DataFrame([_epoch(number, score) for number, score in enumerate(head.path)])
    steps = epochs.assign(step=epochs["epoch"])[["epoch", "step", "loss", "accuracy"]]
    return FitResult(epochs.assign(seconds=seconds), steps, head.chosen)


def _epoch(number: int, score: PenaltyScore) -> dict[str, float]:
    """Return what was found for one penalty, as a fit has an epoch; without validation images, out of fold."""
    val = score.val or score.out_of_fold
    return {
        "epoch": number,
        "penalty": score.penalty,
        "loss": score.train.log_loss,
        "accuracy": score.train.accuracy,
        "log_loss": score.train.log_loss,
        "out_of_fold_log_loss": score.out_of_fold.log_loss,
        "out_of_fold_accuracy": score.out_of_fold.accuracy,
        "val_loss": val.log_loss,
        "val_accuracy": val.accuracy,
        "val_log_loss": val.log_loss,
    }
