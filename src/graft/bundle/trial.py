"""Trial images whose probabilities every bundle records: another engine's show whether it can be trusted.

They are made rather than stored, photographs of nobody, and of whole numbers, so that they are the same everywhere.
"""

import numpy as np

COUNT = 8
# Blocks a side: coarse enough that every layer of a network has something to answer to.
BLOCKS = 6
# How far colours are from grey, of the whole range, from the first image to the last: a network that is certain of
# loud ones, whatever it computes, is less so of faint ones.
CONTRASTS = (0.1, 1.0)
# Between probabilities of the same images by two engines: float32 sums in another order differ by 1e-6, a tenth of
# a class's answer in 16 bits by more.
TOLERANCE = 1e-4


def trial_images(size: int) -> np.ndarray:
    """Return blocks of colour, uint8 ``[8, size, size, 3]``."""
    colours = np.random.default_rng(0).integers(0, 256, (COUNT, BLOCKS, BLOCKS, 3))
    percent = np.linspace(*CONTRASTS, COUNT).round(2) * 100
    colours = 128 + (colours - 128) * percent.astype(np.int64)[:, None, None, None] // 100
    place = np.arange(size) * BLOCKS // size
    return colours[:, place][:, :, place].astype(np.uint8)


def require_agreement(found: np.ndarray, recorded: np.ndarray) -> None:
    """Raise ValueError where an engine's probabilities for the trial images are not those recorded with the network.

    Args:
        found, recorded: probabilities ``[8, C]``.

    Raises:
        ValueError: they differ by more than the tolerance; the message says by how much.
    """
    difference = float(np.abs(found - recorded).max())
    if not difference <= TOLERANCE:  # nor is nan
        raise ValueError(f"answers are off by {difference:.2g}")
