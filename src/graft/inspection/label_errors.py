"""Labels that are likely wrong, by confident learning on out-of-fold probabilities.

A classifier that never saw an image, nor a copy of it, says how probable each label is; cleanlab compares that
with the labels given: C. G. Northcutt, L. Jiang and I. L. Chuang, "Confident Learning: Estimating Uncertainty in
Dataset Labels", Journal of Artificial Intelligence Research 70, 2021, https://doi.org/10.1613/jair.1.12125.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from graft.progress import progress_bar

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
    """What a classifier says of images that it was not trained on.

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


@dataclass(frozen=True)
class Suspect:
    """An image, by index, whose given label is improbable, and the label that is most probable instead."""

    index: int
    given_probability: float
    suggested: str
    suggested_probability: float


def out_of_fold(features: np.ndarray, labels: np.ndarray, groups: np.ndarray, seed: int) -> OutOfFold:
    """Probabilities of every label from stratified cross-validation that never tears a group apart.

    There are five folds, fewer where a class has fewer groups. Classes of less than three groups are left out;
    with less than two classes left there are no folds.

    Args:
        features: float32 ``[N, D]``.
        labels: names, ``[N]``.
        groups: any values, ``[N]``; images with the same one (copies, near-duplicates) share a fold, because the
            twin of an image in training would vouch for its label, right or wrong.
        seed: of the folds.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

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
    with progress_bar("Checking labels, by fold", folds) as advance, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the solver may stop before its last digits are settled
        for known, held_out in splitter.split(inputs, targets, groups[rows]):
            if len(np.unique(targets[known])) == len(classes):
                model = make_pipeline(
                    StandardScaler(), LogisticRegression(C=_INVERSE_PENALTY, max_iter=_MAX_ITERATIONS)
                )
                probabilities[held_out] = model.fit(inputs[known], targets[known]).predict_proba(
                    inputs[held_out]
                )
            advance(1)
    # A group may hold nearly all of a class; what was judged without any knowledge of a class was not judged.
    judged = ~np.isnan(probabilities).any(axis=1)
    return OutOfFold(rows[judged], classes, probabilities[judged], folds, left_out)


def find_suspects(labels: np.ndarray, judged: OutOfFold) -> list[Suspect]:
    """Images whose label is likely wrong, least believable first.

    Args:
        labels: names of all images, ``[N]``.
        judged: from :func:`out_of_fold`.
    """
    if not len(judged.checked):
        return []
    given = np.searchsorted(judged.classes, labels[judged.checked])
    if len(np.unique(given)) < 2:
        return []
    from cleanlab.filter import find_label_issues

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # One process: its pool costs more than the search, and would have to be protected under macOS' spawn.
        ranked = find_label_issues(
            given, judged.probabilities, return_indices_ranked_by="self_confidence", n_jobs=1
        )
    suspects = []
    for row in np.asarray(ranked, int):
        probabilities = judged.probabilities[row]
        best = int(probabilities.argmax())
        suspects.append(
            Suspect(
                index=int(judged.checked[row]),
                given_probability=float(probabilities[given[row]]),
                suggested=judged.classes[best],
                suggested_probability=float(probabilities[best]),
            )
        )
    return suspects


def agreement(labels: np.ndarray, judged: OutOfFold) -> float:
    """Share of the checked images whose given label is the most probable one; 0 where none was checked."""
    if not len(judged.checked):
        return 0.0
    best = np.asarray(judged.classes)[judged.probabilities.argmax(axis=1)]
    return float((best == labels[judged.checked]).mean())
