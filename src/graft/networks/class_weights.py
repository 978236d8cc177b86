"""Weigh images by their class."""

import numpy as np


def balanced_class_weights(labels: np.ndarray, classes: int) -> np.ndarray:
    """Return weights N / (C * N_c), float32 ``[C]``: every class then counts the same in the loss (mean weight 1)."""
    counts = np.bincount(labels, minlength=classes)
    return (len(labels) / (classes * np.maximum(counts, 1))).astype(np.float32)
