"""What to say when a batch does not fit into memory."""

from __future__ import annotations

from graft.core.errors import GraftError
from graft.training.batches import Batches

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
    if not half:
        return GraftError(
            f"A batch of {batches.batch_size} does not fit into memory", "Lower image_size, or take a smaller backbone"
        )
    return GraftError(f"A batch of {batches.batch_size} does not fit into memory", f"Set batch_size: {half}")
