"""Compare two classifiers on the same images: whether one is better, and how much worse it can be at most.

Only images that exactly one of the two gets right tell them apart. McNemar's test (Psychometrika 12, 1947) asks
whether they divide as a fair coin would; its exact form is the binomial test of that, which Dietterich (Neural
Computation 10, 1998) recommends among tests for two classifiers on one test set, for it seldom finds a difference
where there is none. It does not say how large a difference may be, and takes every image for independent. An interval
says the one and need not do the other, see :func:`graft.evaluation.intervals.paired_interval`.

A p-value that is not small is no proof that two models are equal: with few images it never is small. So the gate does
not ask whether the champion is shown to be better, which would let every promotion lose a little, but whether the
candidate is shown to lose no more than is accepted.
"""

from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from graft.evaluation.intervals import CONFIDENCE, number_of_groups, paired_interval

SIGNIFICANT = 0.05

Answer = Literal["better", "worse", "not distinguishable"]


class Comparison(BaseModel):
    """What the same images say about a candidate and a champion.

    Attributes:
        images: number of images that both answered.
        groups: number of groups of images that belong together.
        only_candidate_right, only_champion_right: images that one of the two gets right.
        difference: accuracy of the candidate less that of the champion, -1..1.
        lower: end of the one-sided interval of ``difference``.
        confidence: of that interval.
        low, high: both ends of its 95 % interval.
        mcnemar_p: exact, two-sided; 1.0 where no image tells them apart. Every image counts as independent.
        answer: better or worse where McNemar's test says so at 0.05 and the 95 % interval lacks 0.
    """

    model_config = ConfigDict(frozen=True)

    images: int
    groups: int
    only_candidate_right: int
    only_champion_right: int
    difference: float
    lower: float
    confidence: float
    low: float
    high: float
    mcnemar_p: float
    answer: Answer

    def as_text(self) -> str:
        """Return the comparison as a sentence."""
        groups = f" in {self.groups} groups" if self.groups < self.images else ""
        return (
            f"{100 * self.difference:+.2f} points, at worst {100 * self.lower:+.2f} ({self.confidence:.0%} sure); "
            f"of {self.images} images{groups} {self.only_candidate_right} only the candidate gets right, "
            f"{self.only_champion_right} only the champion, McNemar p = {self.mcnemar_p:.2g}: {self.answer}"
        )


def compare(
    candidate_right: np.ndarray, champion_right: np.ndarray, confidence: float, groups: np.ndarray | None = None
) -> Comparison:
    """Compare two classifiers image by image.

    Args:
        candidate_right, champion_right: bool ``[N]``, whether each answered the image correctly; N at least 1.
        confidence: of the one-sided interval, 0.5..1.
        groups: of each image, any values ``[N]``; None: each is a group by itself.
    """
    images = len(candidate_right)
    gained = int(np.sum(candidate_right & ~champion_right))
    lost = int(np.sum(~candidate_right & champion_right))
    p = mcnemar(gained, lost)
    both_ends = paired_interval(candidate_right, champion_right, groups, CONFIDENCE)
    if p < SIGNIFICANT and 0.0 not in both_ends:
        answer: Answer = "better" if gained > lost else "worse"
    else:
        answer = "not distinguishable"
    return Comparison(
        images=images,
        groups=images if groups is None else number_of_groups(groups),
        only_candidate_right=gained,
        only_champion_right=lost,
        difference=(gained - lost) / images,
        lower=paired_interval(candidate_right, champion_right, groups, 2 * confidence - 1).low,
        confidence=confidence,
        low=both_ends.low,
        high=both_ends.high,
        mcnemar_p=p,
        answer=answer,
    )


def mcnemar(gained: int, lost: int) -> float:
    """Return the two-sided p-value of McNemar's exact test; 1.0 where no image tells two classifiers apart.

    Args:
        gained, lost: numbers of images that only the one, or only the other, gets right.
    """
    from scipy.special import bdtr

    return min(1.0, 2 * float(bdtr(min(gained, lost), gained + lost, 0.5)))
