"""Folds for cross-validation: whole groups of images, about the same share of every class in each."""

import numpy as np


def grouped_folds(labels: np.ndarray, groups: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Deal groups of images to folds; return the fold of each image, int ``[N]``.

    Large groups are dealt first, each to the fold that has the least of its classes so far. Every fold gets a group.

    Args:
        labels: class indices, int ``[N]``.
        groups: of each image, any values ``[N]``.
        folds: at most; as many as there are groups if those are fewer.
        seed: decides among groups of one size.

    Raises:
        ValueError: there are fewer than two groups.
    """
    numbers = np.unique(groups, return_inverse=True)[1].reshape(-1)
    sizes = np.bincount(numbers)
    folds = min(folds, len(sizes))
    if folds < 2:
        raise ValueError("cross-validation takes two folds or more, and two groups of images or more")
    shuffled = np.random.default_rng(seed).permutation(len(sizes))
    dealt = shuffled[np.argsort(-sizes[shuffled], kind="stable")]
    members = np.split(labels[np.argsort(numbers, kind="stable")], np.cumsum(sizes)[:-1])
    totals = np.bincount(labels)
    held = np.zeros((len(totals), folds))
    fold_of = np.empty(len(sizes), np.int64)
    for group in dealt.tolist():
        classes, counts = np.unique(members[group], return_counts=True)
        shares = counts / totals[classes]
        # Of folds that hold as much of its classes, the one that holds least of all.
        load = shares @ held[classes] + 1e-6 * held.sum(axis=0)
        fold = int(load.argmin())
        held[classes, fold] += shares
        fold_of[group] = fold
    return fold_of[numbers]
