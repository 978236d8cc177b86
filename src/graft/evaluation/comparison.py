"""Compare two classifiers on the same images: is one better, and how much worse can it be at most.

Only images that exactly one of the two gets right tell them apart. McNemar's test (Psychometrika 12, 1947) asks
whether they divide as a fair coin would; its exact form is the binomial test of that, which Dietterich (Neural
Computation 10, 1998) recommends among tests for two classifiers on one test set, for it seldom finds a difference
where there is none. It does not say how large a difference may be. That is what the bootstrap is for (Efron and
Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13): images are drawn again with replacement, each with both
answers, and the lower percentile of the differences in accuracy is what the candidate loses at most, with the
confidence asked for.

A p-value that is not small is no proof that two models are equal: with few images it never is small. So the gate does
not ask whether the champion is shown to be better, which would let every promotion lose a little, but whether the
candidate is shown to lose no more than is accepted.
"""

from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

RESAMPLES = 10_000  # the end of an interval at 95 % then moves by a few hundredths of its width from draw to draw
SIGNIFICANT = 0.05
_SEED = 1993  # equal answers give an equal verdict

Answer = Literal["better", "worse", "not distinguishable"]


class Comparison(BaseModel):
    """What the same images say about a candidate and a champion.

    Attributes:
        images: number of images that both answered.
        only_candidate_right, only_champion_right: images that one of the two gets right.
        difference: accuracy of the candidate less that of the champion, -1..1.
        lower: end of the one-sided interval of ``difference``.
        confidence: of that interval.
        mcnemar_p: exact, two-sided; 1.0 where no image tells them apart.
        answer: of McNemar's test at 0.05.
    """

    model_config = ConfigDict(frozen=True)

    images: int
    only_candidate_right: int
    only_champion_right: int
    difference: float
    lower: float
    confidence: float
    mcnemar_p: float
    answer: Answer

    def as_text(self) -> str:
        """Return the comparison as a sentence."""
        return (
            f"{100 * self.difference:+.2f} points, at worst {100 * self.lower:+.2f} ({self.confidence:.0%} sure); "
            f"of {self.images} images {self.only_candidate_right} only the candidate gets right, "
            f"{self.only_champion_right} only the champion, McNemar p = {self.mcnemar_p:.2g}: {self.answer}"
        )


def compare(candidate_right: np.ndarray, champion_right: np.ndarray, confidence: float) -> Comparison:
    """Compare two classifiers image by image.

    Args:
        candidate_right, champion_right: bool ``[N]``, whether each answered the image correctly; N at least 1.
        confidence: of the one-sided interval, 0.5..1.
    """
    from scipy.stats import binomtest

    images = len(candidate_right)
    gained = int(np.sum(candidate_right & ~champion_right))
    lost = int(np.sum(~candidate_right & champion_right))
    p = binomtest(min(gained, lost), gained + lost).pvalue if gained + lost else 1.0
    # Each image counts +1, -1 or 0, so a resample is a draw of how often each of the three occurs.
    shares = np.array([gained, lost, images - gained - lost]) / images
    draws = np.random.default_rng(_SEED).multinomial(images, shares, RESAMPLES)
    differences = (draws[:, 0] - draws[:, 1]) / images
    if p >= SIGNIFICANT:
        answer: Answer = "not distinguishable"
    else:
        answer = "better" if gained > lost else "worse"
    return Comparison(
        images=images,
        only_candidate_right=gained,
        only_champion_right=lost,
        difference=(gained - lost) / images,
        lower=float(np.quantile(differences, 1 - confidence, method="lower")),
        confidence=confidence,
        mcnemar_p=float(p),
        answer=answer,
    )
