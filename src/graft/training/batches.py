"""Batches for training and validation: an order, and blends, that depend on nothing but seed and epoch."""

from collections.abc import Callable

import keras
import numpy as np

from graft.networks.decode_images import rows_of
from graft.networks.engines.devices import with_copies, with_zeros

Mix = Callable[[np.ndarray, np.ndarray, tuple[int, ...]], tuple[np.ndarray, np.ndarray]]


class Batches(keras.utils.PyDataset):
    """Slices of arrays as (inputs, one-hot labels, weights).

    Inputs keep their type: bytes are a quarter of the way to a GPU, where the model makes floats of them. Where
    images do not go evenly into ``devices``, a batch is filled up with images that have no label and no weight.

    Args:
        inputs: images uint8 ``[N, S, S, 3]`` or features float32 ``[N, D]``; may be a memory map.
        labels: class indices, int ``[N]``.
        batch_size: images per batch; the last one may be smaller.
        seed: order of the images is a function of it and the epoch; None keeps them in place.
        class_weights: float ``[C]``, weight of an image by its class; None weighs all alike.
        views: how many views of the images ``inputs`` holds, ``[views * N, ...]``, all of the first before all of the
            second; each epoch takes the next of them, in turns.
        mix: blends the images of a batch and their labels; called with a key that no other batch has.
    """

    def __init__(
        self,
        inputs: np.ndarray,
        labels: np.ndarray,
        classes: int,
        batch_size: int,
        seed: int | None = None,
        class_weights: np.ndarray | None = None,
        mix: Mix | None = None,
        views: int = 1,
        devices: int = 1,
    ) -> None:
        super().__init__()
        self.inputs = inputs
        self.labels = labels
        self.one_hot = np.eye(classes, dtype=np.float32)
        self.batch_size = batch_size
        self.seed = seed
        weights = np.ones(classes) if class_weights is None else class_weights
        self.class_weights = weights.astype(np.float32)
        self.mix = mix
        self.views = views
        self.devices = devices
        self.start_epoch(0)

    def __len__(self) -> int:
        return -(-len(self.labels) // self.batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        inputs, targets, weights = self.joined(index, index + 1)
        if self.mix:
            inputs, targets = self.mix(inputs, targets, (self.seed or 0, self.epoch, index))
            weights = targets @ self.class_weights
        missing = -len(targets) % self.devices
        if missing:
            # The loss is a mean over all that is in the batch.
            weights = weights * (len(targets) + missing) / len(targets)
        return with_copies(inputs, missing), with_zeros(targets, missing), with_zeros(weights, missing)

    def joined(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return several batches, ``start`` to ``stop - 1``, one after another; unmixed, and not filled up."""
        rows, targets, weights = self.rows(start, stop)
        return rows_of(self.inputs, rows), targets, weights

    def rows(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return what :meth:`joined` does, but row indices into ``inputs``, int ``[n]``, instead of the rows."""
        chosen = self.order[start * self.batch_size : stop * self.batch_size]
        targets = self.one_hot[self.labels[chosen]]
        return chosen + self.epoch % self.views * len(self.labels), targets, targets @ self.class_weights

    def start_epoch(self, epoch: int) -> None:
        """Put the images in the order of this epoch (counted from 0)."""
        self.epoch = epoch
        self.order = np.arange(len(self.labels))
        if self.seed is not None:
            np.random.default_rng((self.seed, epoch)).shuffle(self.order)
