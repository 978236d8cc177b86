"""Fit one temperature for all logits: Guo et al., On Calibration of Modern Neural Networks, ICML 2017, section 4.2.

A network is trained until its logits are too large for how often it is right; dividing them all by one number T,
fitted on images it was not trained on, mends that and changes no answer. T has the least log loss there, with one
thing added. Where every validation image is right, as often on small data, the least loss is at T = 0: every answer
would be certain. So each label counts as wrong with the probability that one more image would be, after N that were
not: 1 / (N + 2), Laplace's rule of succession. N counts what is independent: a hundred frames of one hand say as much
as one (of 21 hands, out of fold, test log loss 0.73 to 0.32). The same was done for the sigmoids of support vector
machines by J. Platt, Probabilistic Outputs for Support Vector Machines, 1999, section 2.2.
"""

import numpy as np

# Wider than anything sensible: Guo et al. found 0.7 to 3.4.
LEAST, MOST = 0.01, 100.0


def fit_temperature(labels: np.ndarray, logits: np.ndarray, images: np.ndarray | None = None) -> float:
    """Return the T above 0 that ``softmax(logits / T)`` fits labels ``[N]`` best with, for logits ``[N, C]``.

    Args:
        labels: class indices ``[N]`` of images that the logits were not fitted to.
        logits: ``[N, C]``.
        images: what each image is, or which group it is of, ``[N]``; None: all differ.
    """
    # Less the largest of each row, which changes no probability and lets none overflow.
    shifted = np.asarray(logits, np.float64) - np.max(logits, axis=1, keepdims=True)
    count, classes = shifted.shape
    wrong = 1 / ((count if images is None else len(np.unique(images))) + 2)
    right = shifted[np.arange(count), labels]
    others = (shifted.sum(axis=1) - right) / max(1, classes - 1)
    wanted = ((1 - wrong) * right + wrong * others).mean()

    # The log loss is convex in 1/T; its slope there is how far the mean logit under the answers is from that under the
    # labels. The range of its logarithm is halved until T is known to a millionth.
    low, high = np.log(LEAST), np.log(MOST)
    while high - low > 1e-6:
        middle = (low + high) / 2
        weights = np.exp(shifted / np.exp(middle))
        expected = np.einsum("nc,nc->n", weights, shifted) / weights.sum(axis=1)
        low, high = (middle, high) if expected.mean() > wanted else (low, middle)
    return float(np.exp((low + high) / 2))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return probabilities float64 ``[N, C]`` of logits, summing to 1 in double precision."""
    shifted = np.asarray(logits, np.float64) - np.max(logits, axis=1, keepdims=True)
    exponentials = np.exp(shifted)
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))
