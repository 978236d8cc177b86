"""Measure how much better one model is than another on the same images, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Difference:
    """How much better one model is than another, on the same images.

    Attributes:
        gain: mean of the other's losses less those of the one, in their unit.
        error: its standard error; groups of images count as one each.
    """

    gain: float
    error: float

    @property
    def is_sure(self) -> bool:
        """Whether the gain is more than its standard error."""
        return self.gain > self.error


def log_losses(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return minus the logarithm of each image's probability of its class, in nats, ``[N]``.

    As scikit-learn's log_loss has it, no single image costs infinitely much: a probability of 0 counts as the least
    that its type tells from 1.

    Args:
        probabilities: ``[N, C]``.
        labels: class indices ``[N]``.
    """
    import numpy as np

    stated = probabilities[np.arange(len(labels)), labels]
    return np.asarray(-np.log(np.clip(stated, np.finfo(stated.dtype).eps, 1)))


def difference(losses: np.ndarray, others: np.ndarray, groups: np.ndarray) -> Difference:
    """Return by how much ``losses`` are lower than ``others``.

    The standard error is that of a mean over clusters of unequal size (W. G. Cochran, Sampling Techniques, 3rd ed.
    1977, section 9A): images of one group tend to be right or wrong together.

    Args:
        losses, others: of the same images in the same order, ``[N]``.
        groups: of each image, any values ``[N]``.
    """
    import numpy as np

    gains = others - losses
    gain = float(gains.mean())
    sums = np.bincount(np.unique(groups, return_inverse=True)[1], gains - gain)
    count = len(sums)
    error = np.sqrt(count / (count - 1) * np.square(sums).sum()) / len(gains) if count > 1 else np.inf
    return Difference(gain, float(error))
