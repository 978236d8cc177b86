"""Fit a linear probe: how well a linear classifier does on a network's features, on images held out of its fit.

Guillaume Alain and Yoshua Bengio, "Understanding intermediate layers using linear classifier probes", 2016,
https://arxiv.org/abs/1610.01644.
"""

from __future__ import annotations

import warnings
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from graft.core.progress import progress_bar

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

FOLDS = 5
# In two groups, each is judged by a classifier that knows its class from the other alone.
MIN_GROUPS = 3
# Of the classifier, on standardised features. It matters little: on the default photographs with 10 of 1,484 labels
# flipped (three draws, copies kept together), 0.001, 0.01, 0.1 and 1 find 27, 26, 25 and 26 of the 30, with 8, 9, 5
# and 5 others.
_INVERSE_PENALTY = 0.01
_MAX_ITERATIONS = 200


@dataclass(frozen=True)
class OutOfFold:
    """Probabilities of a classifier for images that it was not trained on.

    Attributes:
        checked: indices of the images with probabilities, int ``[M]``, rising.
        classes: names of the columns.
        probabilities: float64 ``[M, C]``, rows sum to 1.
        folds: parts of the cross-validation; 0 where none could be made.
        left_out: classes with too few groups to be judged.
    """

    checked: np.ndarray
    classes: list[str]
    probabilities: np.ndarray
    folds: int
    left_out: list[str]


def fit_probe(features: np.ndarray, targets: np.ndarray) -> Pipeline:
    """Return the classifier, trained on features ``[N, D]`` and labels ``[N]``, two different ones at least."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    model = make_pipeline(StandardScaler(), LogisticRegression(C=_INVERSE_PENALTY, max_iter=_MAX_ITERATIONS))
    # The solver's steps are too short to be shared among threads: where others work on the machine, each step waits
    # for the slowest, and 600 images of 10 classes took 50 seconds of two cores instead of one of one.
    with threadpool_limits(1, "blas"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the solver may stop before its last digits are settled
        return model.fit(features, targets)


def out_of_fold(features: np.ndarray, labels: np.ndarray, groups: np.ndarray, seed: int, label: str = "") -> OutOfFold:
    """Return probabilities of every label from stratified cross-validation that never tears a group apart.

    There are :data:`FOLDS` folds, fewer where a class has fewer groups. Classes of less than three groups are left out;
    with less than two classes left there are no folds.

    Args:
        features: float32 ``[N, D]``.
        labels: names, ``[N]``.
        groups: any values, ``[N]``; images with the same one (copies, near-duplicates) share a fold, because the
            twin of an image in training would vouch for its label, right or wrong.
        label: what the progress bar calls it; none is shown without.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    sizes = {label: len(np.unique(groups[labels == label])) for label in np.unique(labels).tolist()}
    classes = [label for label, size in sizes.items() if size >= MIN_GROUPS]
    left_out = [label for label in sizes if label not in classes]
    if len(classes) < 2:
        return OutOfFold(np.empty(0, int), classes, np.empty((0, len(classes))), 0, left_out)
    rows = np.flatnonzero(np.isin(labels, classes))
    inputs, targets = features[rows], np.searchsorted(classes, labels[rows])
    folds = min(FOLDS, *(sizes[label] for label in classes))
    probabilities = np.full((len(rows), len(classes)), np.nan)
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    bar = progress_bar(label, folds) if label else nullcontext(lambda steps: None)
    with bar as advance:
        for known, held_out in splitter.split(inputs, targets, groups[rows]):
            if len(np.unique(targets[known])) == len(classes):
                model = fit_probe(inputs[known], targets[known])
                probabilities[held_out] = model.predict_proba(inputs[held_out])
            advance(1)
    # A group may hold nearly all of a class; what was judged without any knowledge of a class was not judged.
    judged = ~np.isnan(probabilities).any(axis=1)
    return OutOfFold(rows[judged], classes, probabilities[judged], folds, left_out)
