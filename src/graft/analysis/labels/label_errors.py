"""Labels that are likely wrong, by confident learning on out-of-fold probabilities.

A classifier that never saw an image, nor a copy of it, says how probable each label is; cleanlab compares that
with the labels given: C. G. Northcutt, L. Jiang and I. L. Chuang, "Confident Learning: Estimating Uncertainty in
Dataset Labels", Journal of Artificial Intelligence Research 70, 2021, https://doi.org/10.1613/jair.1.12125.
"""

import warnings
from dataclasses import dataclass

import numpy as np

from graft.analysis.probe import OutOfFold


@dataclass(frozen=True)
class Suspect:
    """An image, by index, whose given label is improbable, and the label that is most probable instead."""

    index: int
    given_probability: float
    suggested: str
    suggested_probability: float


def find_suspects(labels: np.ndarray, judged: OutOfFold) -> list[Suspect]:
    """Return images whose label is likely wrong, least believable first.

    Args:
        labels: names of all images, ``[N]``.
        judged: from :func:`graft.analysis.probe.out_of_fold`.
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
        ranked = find_label_issues(given, judged.probabilities, return_indices_ranked_by="self_confidence", n_jobs=1)
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
    """Return the share of checked images whose given label is the most probable one; 0 where none was checked."""
    if not len(judged.checked):
        return 0.0
    best = np.asarray(judged.classes)[judged.probabilities.argmax(axis=1)]
    return float((best == labels[judged.checked]).mean())
