"""Cross-validate a frozen strategy over folds and seeds: its figures with their range, and predictions out of fold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from graft.core.run_each import run_each
from graft.evaluation.metrics import evaluate
from graft.training.studies.study_images import StudyImages, out_of_fold

if TYPE_CHECKING:
    import pandas as pd

FIGURES = ("accuracy", "macro_f1", "log_loss")


@dataclass(frozen=True)
class Crossed:
    """The results of a cross-validation.

    Attributes:
        by_seed: a row for each seed, with the figures of all images out of fold.
        by_fold: a row for each fold of each seed: seed, fold, images, and the figures of its images.
        probabilities: of each image out of fold, the mean over seeds, float64 ``[N, C]``.
    """

    by_seed: pd.DataFrame
    by_fold: pd.DataFrame
    probabilities: np.ndarray


def cross_validated(images: StudyImages, folds: int, seeds: Sequence[int]) -> Crossed:
    """Return figures and predictions of images by heads that were fitted without their groups.

    Args:
        folds: at most; fewer where there are fewer groups.
        seeds: each deals the groups to folds anew; one or more. On Ray each is a task.
    """
    import pandas as pd

    rows, fold_rows = [], []
    mean = np.zeros((len(images.labels), len(images.classes)))
    dealt = partial(out_of_fold, images, folds)
    for seed, (probabilities, fold_of) in zip(
        seeds, run_each(dealt, seeds, images=len(images.labels) * len(seeds)), strict=True
    ):
        mean += probabilities / len(seeds)
        rows.append({"seed": seed, **evaluate(images.labels, probabilities, images.classes).headline()})
        for fold in np.unique(fold_of).tolist():
            held = fold_of == fold
            found = evaluate(images.labels[held], probabilities[held], images.classes)
            fold_rows.append({"seed": seed, "fold": fold, "images": int(held.sum()), **found.headline()})
    return Crossed(pd.DataFrame(rows), pd.DataFrame(fold_rows), mean)
