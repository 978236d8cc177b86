"""Validation figures from folds, in the place of one split: for data whose split leaves few images for validation.

Of 40 photographs a split spares 5 or 6 for validation, and one of them more or less is luck. So the strategy is trained
on all folds of train and val but one, each in turn, with the same settings, and answers for the images of that one.
The model that is kept is the one of the split.
"""

import gc
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property

import keras
import numpy as np

from graft.core.cluster import ray_address
from graft.core.progress import console
from graft.core.run_each import run_each
from graft.networks.decode_images import LabelledImages
from graft.networks.grouped_folds import grouped_folds
from graft.training.strategy import Task, Trained


class SomeImages:
    """Some of the images of train and val.

    Args:
        train, val: the images.
        rows: which, by their position among those of train and then val, ``[N]``.
    """

    def __init__(self, train: LabelledImages, val: LabelledImages, rows: np.ndarray) -> None:
        self._train, self._val, self._rows = train, val, rows
        self.labels = np.concatenate([train.labels, val.labels])[rows]

    def __len__(self) -> int:
        return len(self._rows)

    @cached_property
    def keys(self) -> Sequence[bytes]:
        keys = [*self._train.keys, *self._val.keys]
        return [keys[row] for row in self._rows]

    @cached_property
    def inputs(self) -> np.ndarray:
        return self.at(np.arange(len(self)))

    def at(self, indices: np.ndarray) -> np.ndarray:
        """Pixels of some, uint8 ``[n, S, S, 3]``."""
        rows = self._rows[indices]
        is_train = rows < len(self._train)
        parts = [self._train.at(rows[is_train]), self._val.at(rows[~is_train] - len(self._train))]
        order = np.argsort(np.concatenate([np.flatnonzero(is_train), np.flatnonzero(~is_train)]))
        return np.concatenate(parts)[order]


def groups_of_all(task: Task) -> np.ndarray:
    """Return what belongs together of the images of train and then val, ``[N]``."""
    assert task.groups is not None  # given where images are validated in folds, as is
    assert task.val_groups is not None
    return np.concatenate([task.groups, task.val_groups])


def fold_logits(
    train: Callable[[Task], Trained], task: Task, elsewhere: Callable[[int], np.ndarray] | None = None
) -> np.ndarray:
    """Return logits float32 ``[N, C]`` for the images of train and then val, each by a training without its fold.

    Args:
        train: trains a strategy on a task.
        task: with groups and the number of folds; each training's checkpoint is below that of the task.
        elsewhere: returns the logits of a fold's images where folds are tasks on Ray, see :func:`run_each`.
    """
    fold_of = _fold_of(task)
    logits = np.empty((len(fold_of), len(task.classes)), np.float32)

    def here(fold: int) -> np.ndarray:
        console.print(f"{task.name}, fold {fold + 1} of {task.folds}")
        return logits_of_fold(train, task, fold)

    answer = elsewhere if elsewhere is not None and ray_address() else here
    for fold, found in enumerate(run_each(answer, range(fold_of.max() + 1), trains=True)):
        logits[fold_of == fold] = found
    return logits


def logits_of_fold(train: Callable[[Task], Trained], task: Task, fold: int) -> np.ndarray:
    """Return logits float32 ``[n, C]`` for the images of a fold, by a training without them."""
    groups, fold_of = groups_of_all(task), _fold_of(task)
    keras.utils.set_random_seed(task.seed)
    rest, out = np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)
    part = replace(
        task,
        name=f"{task.name}, fold {fold + 1} of {task.folds}",
        train=SomeImages(task.train, task.val, rest),
        val=SomeImages(task.train, task.val, out),
        checkpoint=task.checkpoint / f"fold-{fold}",
        groups=groups[rest],
        val_groups=groups[out],
        folds=0,
    )
    logits = train(part).val_logits
    gc.collect()  # networks refer to themselves; of those of five folds, Python would come to the first after the last
    return logits


def _fold_of(task: Task) -> np.ndarray:
    labels = np.concatenate([task.train.labels, task.val.labels])
    return grouped_folds(labels, groups_of_all(task), task.folds, task.seed)
