"""What a frozen model makes of images, computed once and kept for every epoch."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np

from graft.progress import progress_bar
from graft.training.images import large_array

# Images per forward pass: past this, speed on a CPU no longer grows and memory does.
BATCH = 32
# Images between two looks at the progress bar; what a call to Keras costs by itself is nothing beside so many.
CHUNK = 16 * BATCH

# A batch of inputs, and the place of its first one, to what the model is given.
Prepare = Callable[[np.ndarray, int], np.ndarray]


def activations(
    model: keras.Model,
    inputs: np.ndarray,
    label: str,
    prepare: Prepare | None = None,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Outputs of ``model`` in inference mode, float32 ``[N, ...]``, in memory or, where that is too small, on disk.

    Args:
        model: from one tensor to one; nothing in it may change later.
        inputs: images uint8 ``[N, S, S, 3]``, or what another model made of them; may be a memory map.
        label: what the progress bar calls it.
        prepare: makes the model's inputs of a batch; None gives it the batch as it is.
        out: where to put the outputs instead of a new array.

    Raises:
        GraftError: the disk has no room.
    """
    outputs = large_array((len(inputs), *model.output_shape[1:]), np.float32) if out is None else out
    with progress_bar(label, len(inputs)) as advance:
        for start in range(0, len(inputs), CHUNK):
            batches = _Batches(inputs, start, min(start + CHUNK, len(inputs)), prepare)
            outputs[start : batches.stop] = model.predict(batches, verbose=0)
            advance(batches.stop - start)
    return outputs


class _Batches(keras.utils.PyDataset):
    def __init__(self, inputs: np.ndarray, start: int, stop: int, prepare: Prepare | None) -> None:
        super().__init__()
        self.inputs, self.start, self.stop, self.prepare = inputs, start, stop, prepare

    def __len__(self) -> int:
        return -(-(self.stop - self.start) // BATCH)

    def __getitem__(self, index: int) -> tuple[np.ndarray]:
        first = self.start + index * BATCH
        batch = np.ascontiguousarray(self.inputs[first : min(first + BATCH, self.stop)])
        return (self.prepare(batch, first) if self.prepare else batch,)
