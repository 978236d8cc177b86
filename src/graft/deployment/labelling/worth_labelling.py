"""Choose images that are worth a label: the model is uncertain of them, and they are unlike each other.

The gradient that an image would send into a linear head is ``(p - y) x``, where y is the class that the model takes it
for: long where the model is uncertain, and in another direction where features or classes are others. A farthest-first
walk over these gradients (J. Ash et al., Deep batch active learning by diverse, uncertain gradient lower bounds, ICLR
2020, who draw at random what this takes in order) chooses images that are both. Neither the gradients nor their
distances are ever written out: a distance follows from inner products of the two factors.
"""

import numpy as np


def worth_labelling(features: np.ndarray, probabilities: np.ndarray, count: int) -> np.ndarray:
    """Return indices of images to label, the most uncertain one first, int ``[min(count, N)]``.

    Args:
        features: float ``[N, D]``; their lengths do not count.
        probabilities: ``[N, C]``.
    """
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    x = (features / np.maximum(lengths, 1e-12)).astype(np.float64)
    a = probabilities.astype(np.float64).copy()
    a[np.arange(len(a)), probabilities.argmax(axis=1)] -= 1
    size = (a**2).sum(axis=1)  # of the gradient, squared: x has length 1
    chosen: list[int] = []
    # What is chosen lies far from all that was chosen before, and the first far from no gradient at all.
    nearest = size.copy()
    for _ in range(min(count, len(x))):
        one = int(nearest.argmax())
        chosen.append(one)
        distance = size + size[one] - 2 * (a @ a[one]) * (x @ x[one])
        nearest = np.minimum(nearest, distance)
        nearest[one] = -np.inf
    return np.array(chosen, np.int64)
