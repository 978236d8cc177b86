"""The checks of a comparison: one two-sample test each, and one level for all of them together.

A check calls it drift where its p-value, adjusted for all checks (:func:`graft.monitoring.statistics.holm`), is at
most ``monitor.alpha``, and the difference is as large as ``monitor.effects`` asks for. So the chance that a comparison
calls it drift where there is none is ``alpha`` at most.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from graft.monitoring.samples import FIGURES, Sample
from graft.monitoring.statistics import (
    Outcome,
    features_differ,
    holm,
    share_rose,
    shares_differ,
    values_differ,
)
from graft.params.monitor import MonitorParams

# Of the permutations and random tables: a comparison of equal samples says the same each time.
SEED = 0


@dataclass(frozen=True)
class Check:
    """One test and what it says.

    Attributes:
        name: of the check.
        test: which test, in words.
        p_value: of this test alone, and ``adjusted`` for all tests of the comparison.
        effect: how large the difference is, and ``least_effect``, from where on it counts.
        drift: whether both speak for it.
        reference, recent: images on each side.
        words: what was seen.
    """

    name: str
    test: str
    p_value: float
    adjusted: float
    effect: float
    least_effect: float
    drift: bool
    reference: int
    recent: int
    words: str


@dataclass(frozen=True)
class _Question:
    name: str
    test: str
    least_effect: float
    reference: int
    recent: int
    words: str
    ask: Callable[[], Outcome]


def run_checks(
    reference: Sample, recent: Sample, params: MonitorParams
) -> tuple[list[Check], dict[str, str]]:
    """All checks that the two samples allow, and of the others, why they were not made, by name.

    Unreadable images are compared however few could be read.
    """
    skipped = {**reference.missing, **recent.missing}
    fewest = min(len(reference), len(recent))
    if fewest < params.min_images:
        skipped["images"] = (
            f"{len(recent):,} of {recent.readable:,} readable images are independent of each other, and it takes "
            f"{params.min_images} (monitor.min_images)"
        )
    questions = [
        *(_about_figures(reference, recent, params) if fewest >= params.min_images else []),
        *_about_features(reference, recent, params),
        *_about_predictions(reference, recent, params, skipped),
        _about_unreadable(reference, recent, params),
    ]
    outcomes = [question.ask() for question in questions]
    adjusted = holm([outcome.p_value for outcome in outcomes])
    checks = [
        Check(
            name=question.name,
            test=question.test,
            p_value=outcome.p_value,
            adjusted=together,
            effect=outcome.effect,
            least_effect=question.least_effect,
            drift=together <= params.alpha and outcome.effect >= question.least_effect,
            reference=question.reference,
            recent=question.recent,
            words=question.words,
        )
        for question, outcome, together in zip(questions, outcomes, adjusted, strict=True)
    ]
    return checks, skipped


def _about_features(reference: Sample, recent: Sample, params: MonitorParams) -> list[_Question]:
    first, second = reference.features, recent.features
    if first is None or second is None:
        return []
    return [
        _Question(
            "embedding",
            "maximum mean discrepancy, permutations",
            params.effects.embedding,
            len(first),
            len(second),
            f"{first.shape[1]:,} features of each image{_partly(recent, 'embedding')}",
            lambda: features_differ(first, second, params.permutations, SEED),
        )
    ]


def _about_predictions(
    reference: Sample, recent: Sample, params: MonitorParams, skipped: dict[str, str]
) -> list[_Question]:
    first, second = reference.predictions, recent.predictions
    if first is None or second is None:
        return []
    fewest = min(len(first.labels), len(second.labels))
    if fewest < params.min_images:
        skipped["predictions"] = (
            f"there are {len(first.labels)} {first.images} and {len(second.labels)} {second.images}; it takes "
            f"{params.min_images} of each (monitor.min_images)"
        )
        return []
    classes = np.union1d(first.labels, second.labels)
    counts = [np.array([(one.labels == name).sum() for name in classes]) for one in (first, second)]
    rise = counts[1] / counts[1].sum() - counts[0] / counts[0].sum()
    most = int(np.abs(rise).argmax())
    shares = [count[most] / count.sum() for count in counts]
    return [
        _Question(
            "classes",
            "chi-square",
            params.effects.classes,
            len(first.labels),
            len(second.labels),
            f"{classes[most]} from {shares[0]:.1%} of predictions to {shares[1]:.1%}"
            f"{_partly(recent, 'predictions')}",
            lambda: shares_differ(*counts),
        ),
        _about_values("confidence", *(_rounded(one.confidence) for one in (first, second)), params),
    ]


def _rounded(confidence: np.ndarray) -> np.ndarray:
    """Probabilities to four digits: the last ones differ between engines, and between batches of one engine."""
    return np.round(confidence.astype(np.float64), 4)


def _partly(recent: Sample, check: str) -> str:
    return f"; {recent.partial[check]}" if check in recent.partial else ""


def _about_figures(reference: Sample, recent: Sample, params: MonitorParams) -> list[_Question]:
    return [_about_values(name, reference.figures[name], recent.figures[name], params) for name in FIGURES]


def _about_values(name: str, first: np.ndarray, second: np.ndarray, params: MonitorParams) -> _Question:
    return _Question(
        name,
        "Kolmogorov-Smirnov",
        params.effects.values,
        len(first),
        len(second),
        f"median from {np.median(first):.4g} to {np.median(second):.4g}, "
        f"mean from {first.mean():.4g} to {second.mean():.4g}",
        lambda: values_differ(first, second),
    )


def _about_unreadable(reference: Sample, recent: Sample, params: MonitorParams) -> _Question:
    first, second = (reference.unreadable, reference.seen), (recent.unreadable, recent.seen)
    return _Question(
        "unreadable",
        "Fisher, one-sided",
        params.effects.unreadable,
        reference.seen,
        recent.seen,
        f"from {first[0]:,} of {first[1]:,} files to {second[0]:,} of {second[1]:,}",
        lambda: share_rose(first, second),
    )
