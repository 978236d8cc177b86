"""Batches for training and validation: a seeded order that depends on nothing but seed and epoch."""

from __future__ import annotations

import keras
import numpy as np


class Batches(keras.utils.PyDataset):
    """Slices of arrays as (inputs, one-hot labels, weights), float32.

    Args:
        inputs: images uint8 ``[N, S, S, 3]`` or features float32 ``[N, D]``; may be a memory map.
        labels: class indices, int ``[N]``.
        classes: number of classes C.
        batch_size: images per batch; the last one may be smaller.
        seed: order of the images is a function of it and the epoch; None keeps them in place.
        class_weights: float ``[C]``, weight of an image by its class; None weighs all alike.
    """

    def __init__(
        self,
        inputs: np.ndarray,
        labels: np.ndarray,
        classes: int,
        batch_size: int,
        seed: int | None = None,
        class_weights: np.ndarray | None = None,
    ) -> None:
        super().__init__()
        self.inputs = inputs
        self.labels = labels
        self.one_hot = np.eye(classes, dtype=np.float32)
        self.batch_size = batch_size
        self.seed = seed
        self.class_weights = np.ones(classes, np.float32) if class_weights is None else class_weights
        self.start_epoch(0)

    def __len__(self) -> int:
        return -(-len(self.labels) // self.batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        chosen = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        labels = self.labels[chosen]
        inputs = np.asarray(self.inputs[chosen], dtype=np.float32)
        return inputs, self.one_hot[labels], self.class_weights[labels].astype(np.float32)

    def start_epoch(self, epoch: int) -> None:
        """Puts the images in the order of this epoch (counted from 0)."""
        self.order = np.arange(len(self.labels))
        if self.seed is not None:
            np.random.default_rng((self.seed, epoch)).shuffle(self.order)


def balanced_class_weights(labels: np.ndarray, classes: int) -> np.ndarray:
    """Weights N / (C * N_c), float32 ``[C]``: every class then counts the same in the loss (mean weight 1)."""
    counts = np.bincount(labels, minlength=classes)
    return (len(labels) / (classes * np.maximum(counts, 1))).astype(np.float32)
