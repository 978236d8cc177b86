"""Fit how much each member of an ensemble counts, on validation images, judged on images left out of the fit.

The ensemble answers with the mixture ``sum_k w[k] * p[k]`` of its members' probabilities. Its log loss is convex in
the weights, which are no less than 0 and sum to 1, so there is one least loss; it is found by the EM steps for
mixture weights, which keep to these bounds by themselves. In another field the same steps find the portfolio of the
greatest expected growth: T. M. Cover, An algorithm for maximizing expected log investment return, IEEE Transactions
on Information Theory 30 (2), 1984, from where the bound in :func:`fit_weights` is.
"""

import numpy as np

from graft.evaluation.folds import held_out_folds

# In nats of log loss; tables show 0.0001.
TOLERANCE = 1e-5
# After n steps the loss is at most ln(K) / n above the least one, so this many leave 0.0002 of it at worst.
MAX_STEPS = 5_000
# Of the heaviest member's weight: one that counts less costs its whole network at every answer and changes few.
LEAST_SHARE = 0.01
# As scikit-learn's log_loss has it: no single image may cost infinitely much.
LEAST_PROBABILITY = float(np.finfo(np.float64).eps)


def mix(weights: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return the mixture's probabilities ``[N, C]``, with weights ``[K]`` of members' probabilities ``[K, N, C]``."""
    return np.asarray(np.tensordot(weights, probabilities, axes=1))


def equal_weights(members: int) -> np.ndarray:
    """Return the same weight for each, float64 ``[K]``."""
    return np.full(members, 1 / members)


def fit_weights(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return the weights float64 ``[K]`` of the least log loss; exactly 0 for members that would count next to nothing.

    Args:
        labels: class indices ``[N]``.
        probabilities: of the members, ``[K, N, C]``.
    """
    members, images, _ = probabilities.shape
    right = np.maximum(probabilities[:, np.arange(images), labels].astype(np.float64), LEAST_PROBABILITY)
    left = np.arange(members)
    while True:
        fitted = _least_loss(right[left])
        light = fitted < LEAST_SHARE * fitted.max()
        if not light.any():
            break
        left = left[~light]
    weights = np.zeros(members)
    weights[left] = fitted
    return weights


def out_of_fold(labels: np.ndarray, probabilities: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Return the mixture's probabilities ``[N, C]``, each image's with weights that were fitted without it.

    The figures of weights on the very images they were fitted to would flatter the ensemble beside its members.

    Args:
        labels: class indices ``[N]``.
        probabilities: of the members, ``[K, N, C]``.
        images: what each image is, ``[N]``, see :func:`graft.evaluation.folds.held_out_folds`.
    """
    mixture = np.empty(probabilities.shape[1:], np.float64)
    for held_out in held_out_folds(images):
        others = ~held_out
        if others.any():
            weights = fit_weights(labels[others], probabilities[:, others])
        else:
            weights = equal_weights(len(probabilities))
        mixture[held_out] = mix(weights, probabilities[:, held_out])
    return mixture


def _least_loss(right: np.ndarray) -> np.ndarray:
    """Run EM on the members' probabilities of the right classes, ``[K, N]``, from equal weights."""
    weights = equal_weights(len(right))
    for _ in range(MAX_STEPS):
        gain = (right / (weights @ right)).mean(axis=1)
        # By Jensen's inequality no weights are better than these by more than ln(max(gain)).
        if np.log(gain.max()) < TOLERANCE:
            break
        weights = weights * gain  # sums to 1 again: sum_k w[k] * gain[k] is a mean of ones
    return np.asarray(weights / weights.sum())
