"""Fill batches up to a fixed size, for engines that compile one shape."""

from __future__ import annotations

import numpy as np


def with_copies(batch: np.ndarray, count: int) -> np.ndarray:
    """The batch ``[N, ...]`` with ``count`` more of what is in it."""
    return np.concatenate([batch, batch[np.arange(count) % len(batch)]]) if count else batch


def with_zeros(batch: np.ndarray, count: int) -> np.ndarray:
    """The batch ``[N, ...]`` with ``count`` rows of zeros behind it."""
    return np.concatenate([batch, np.zeros_like(batch, shape=(count, *batch.shape[1:]))]) if count else batch
