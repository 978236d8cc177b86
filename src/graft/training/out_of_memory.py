"""What to say when a batch does not fit into memory: the batch that would."""

from __future__ import annotations

import gc
import traceback

import keras

from graft.core.errors import GraftError
from graft.training.batches import Batches

# TensorFlow's ResourceExhaustedError, JAX's XlaRuntimeError, Torch's OutOfMemoryError, and Python's own.
SIGNS = ("ResourceExhausted", "RESOURCE_EXHAUSTED", "OutOfMemory", "OOM when allocating", "MemoryError")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a backend gave up for want of memory, by what it calls that; backends share no class for it."""
    return any(sign in f"{type(error).__name__}: {error}" for sign in SIGNS)


def explain_out_of_memory(error: Exception, model: keras.Model, batches: Batches) -> GraftError | None:
    """The error to raise instead, or None where it is something else.

    The batch that fits is found by training on halves of a batch until one goes through; the model, which is given
    up, is not worth keeping afterwards.
    """
    if not is_out_of_memory(error):
        return None
    _let_go(error)
    found = f"A batch of {batches.batch_size} does not fit into memory"
    fits = largest_batch_that_fits(model, batches)
    if fits is None:
        return GraftError(f"{found}, nor does a single image", "Lower image_size, or take a smaller backbone")
    return GraftError(found, f"Set batch_size: {fits}, which does (tried)")


def largest_batch_that_fits(model: keras.Model, batches: Batches) -> int | None:
    """The largest half, quarter, eighth ... of the batch size that one training step goes through with."""
    inputs, targets, weights = batches[0]
    devices = batches.devices
    share = batches.batch_size // devices // 2  # Keras gives every device all of a batch that comes by itself
    while share:
        try:
            model.train_on_batch(inputs[:share], targets[:share], sample_weight=weights[:share])
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            _let_go(error)
            share //= 2
        else:
            return share * devices
    return None


def _let_go(error: BaseException) -> None:
    """Gives back what a failed step holds: the frames in its traceback, and with them all that it computed."""
    link: BaseException | None = error
    while link is not None:
        traceback.clear_frames(link.__traceback__)
        link = link.__cause__ or link.__context__
    gc.collect()
    if keras.config.backend() == "torch":
        import torch

        torch.cuda.empty_cache()  # kept for later otherwise, in pieces that a whole batch may not fit into
