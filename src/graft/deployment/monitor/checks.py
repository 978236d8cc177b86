"""The checks of a comparison: one two-sample test each, and one level for all of them together.

A check calls it drift where its p-value, adjusted for all checks (:func:`graft.deployment.monitor.statistics.holm`),
is at most ``monitor.alpha``, and the difference is as large as ``monitor.effects`` asks for. So the chance that a
comparison calls it drift where there is none is ``alpha`` at most.
"""

from dataclasses import dataclass, replace

import numpy as np

from graft.core.params.monitor_params import MonitorParams
from graft.deployment.monitor.log_samples import FIGURES, Sample
from graft.deployment.monitor.statistics import (
    TwoSampleResult,
    features_differ,
    holm,
    share_rose,
    shares_differ,
    values_differ,
)

# Of the permutations and random tables: a comparison of equal samples says the same each time.
SEED = 0


@dataclass(frozen=True)
class DriftCheck:
    """One test and its result.

    Attributes:
        name: of the check.
        test: which test, in words.
        p_value: of this test alone, and ``adjusted`` for all tests of the comparison.
        effect: how large the difference is, and ``least_effect``, from where on it counts.
        drift: whether both speak for it.
        reference, recent: images on each side.
        words: the observation.
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


def run_checks(reference: Sample, recent: Sample, params: MonitorParams) -> tuple[list[DriftCheck], dict[str, str]]:
    """Return all checks that the two samples allow, and of the others, why they were not made, by name.

    Unreadable images are compared however few could be read.
    """
    skipped = {**reference.missing, **recent.missing}
    is_enough = min(len(reference), len(recent)) >= params.min_images
    if not is_enough:
        skipped["images"] = (
            f"{len(recent):,} of {recent.readable:,} readable images are independent of each other, and it takes "
            f"{params.min_images} (monitor.min_images)"
        )
    checks = [
        *(_about_figures(reference, recent, params) if is_enough else []),
        *_about_features(reference, recent, params),
        *_about_predictions(reference, recent, params, skipped),
        _about_unreadable(reference, recent, params),
    ]
    adjusted = holm([check.p_value for check in checks])
    return [
        replace(check, adjusted=together, drift=together <= params.alpha and check.effect >= check.least_effect)
        for check, together in zip(checks, adjusted, strict=True)
    ], skipped


def _check(
    name: str, test: str, least_effect: float, images: tuple[int, int], words: str, outcome: TwoSampleResult
) -> DriftCheck:
    """Return a check as if it was the only one."""
    p_value = outcome.p_value
    return DriftCheck(name, test, p_value, p_value, outcome.effect, least_effect, False, *images, words)


def _about_features(reference: Sample, recent: Sample, params: MonitorParams) -> list[DriftCheck]:
    first, second = reference.features, recent.features
    if first is None or second is None:
        return []
    return [
        _check(
            "embedding",
            "maximum mean discrepancy, permutations",
            params.effects.embedding,
            (len(first), len(second)),
            f"{first.shape[1]:,} features of each image{_partly(recent, 'embedding')}",
            features_differ(first, second, params.permutations, SEED),
        )
    ]


def _about_predictions(
    reference: Sample, recent: Sample, params: MonitorParams, skipped: dict[str, str]
) -> list[DriftCheck]:
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
        _check(
            "classes",
            "chi-square",
            params.effects.classes,
            (len(first.labels), len(second.labels)),
            f"{classes[most]} from {shares[0]:.1%} of predictions to {shares[1]:.1%}{_partly(recent, 'predictions')}",
            shares_differ(*counts),
        ),
        _about_values("confidence", _rounded(first.confidence), _rounded(second.confidence), params),
    ]


def _rounded(confidence: np.ndarray) -> np.ndarray:
    """Round probabilities to four digits: the last ones differ between engines, and between batches of one engine."""
    return np.round(confidence.astype(np.float64), 4)


def _partly(recent: Sample, check: str) -> str:
    return f"; {recent.partial[check]}" if check in recent.partial else ""


def _about_figures(reference: Sample, recent: Sample, params: MonitorParams) -> list[DriftCheck]:
    return [_about_values(name, reference.figures[name], recent.figures[name], params) for name in FIGURES]


def _about_values(name: str, first: np.ndarray, second: np.ndarray, params: MonitorParams) -> DriftCheck:
    return _check(
        name,
        "Kolmogorov-Smirnov",
        params.effects.values,
        (len(first), len(second)),
        f"median from {np.median(first):.4g} to {np.median(second):.4g}, "
        f"mean from {first.mean():.4g} to {second.mean():.4g}",
        values_differ(first, second),
    )


def _about_unreadable(reference: Sample, recent: Sample, params: MonitorParams) -> DriftCheck:
    first, second = (reference.unreadable, reference.seen), (recent.unreadable, recent.seen)
    return _check(
        "unreadable",
        "Fisher, one-sided",
        params.effects.unreadable,
        (reference.seen, recent.seen),
        f"from {first[0]:,} of {first[1]:,} files to {second[0]:,} of {second[1]:,}",
        share_rose(first, second),
    )
