"""What a model in the shadow answers beside the one that people get: how often they agree, and where they do not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from graft.core.errors import GraftError
from graft.core.params.monitor_params import LogParams
from graft.core.project import Project
from graft.deployment.monitor.log_file import FILE
from graft.deployment.monitor.prediction_log import PredictionLog
from graft.evaluation.intervals import share_interval
from graft.registry.promotion.at_work import ShadowAnswer

if TYPE_CHECKING:
    from graft.deployment.monitor.prediction_log import LoggedPrediction

SHADOW = "shadow"  # in the place of an alias, in what a log calls a model


@dataclass(frozen=True)
class ShadowAgreement:
    """How two models answered the same images at work.

    Attributes:
        answering, shadow: which models, in words.
        images: that both answered; ``same`` is the share of these with one answer, ``low`` to ``high`` its 95 %
            interval.
        differing: pairs of answers, with how often, the most frequent first.
        examples: SHA-256 of images on which they differ, the least sure of the shadow's answers last.
    """

    answering: str
    shadow: str
    images: int
    same: float
    low: float
    high: float
    differing: list[tuple[str, str, int]]
    examples: list[str]

    def as_record(self) -> dict[str, Any]:
        """Return the agreement JSON-ready."""
        return asdict(self)


def is_shadow(row: LoggedPrediction) -> bool:
    """Return whether nobody was given this answer."""
    return row.model.endswith(f"({SHADOW})")


def shadow_agreement(log: PredictionLog) -> ShadowAgreement:
    """Return how the newest model in the shadow agrees with what was answered.

    Raises:
        GraftError: there is no log, or nothing answered in the shadow.
    """
    rows = [row for row in log.read() if not row.image.problem]
    behind = next((row.model for row in reversed(rows) if is_shadow(row)), "")
    answered = {row.image.sha256: row for row in rows if not is_shadow(row)}
    shadowed = {row.image.sha256: row for row in rows if row.model == behind}
    both = [(answered[one], shadowed[one]) for one in shadowed if one in answered]
    if not both:
        what = f"Nothing in {log.folder} was answered in the shadow"
        raise GraftError(what, "Serve with one: graft serve --log --shadow challenger")
    same = np.array([one.label == other.label for one, other in both])
    interval = share_interval(same)
    differing = [pair for pair, is_same in zip(both, same, strict=True) if not is_same]
    counts = Counter((one.label, other.label) for one, other in differing)
    examples = sorted(differing, key=lambda pair: -pair[1].probability)
    return ShadowAgreement(
        answering=both[-1][0].model,
        shadow=behind,
        images=len(both),
        same=float(same.mean()),
        low=interval.low,
        high=interval.high,
        differing=[(one, other, count) for (one, other), count in counts.most_common()],
        examples=[other.image.sha256 for _, other in examples],
    )


def answers_in_shadow(project: Project, params: LogParams, model: str) -> Callable[[str], list[ShadowAnswer]]:
    """Return a function that reads what a version answered in the shadow, for the gate; empty where it did not.

    Args:
        params: of the log.
        model: its name in the registry.
    """

    def of_version(version: str) -> list[ShadowAnswer]:
        log = PredictionLog(project.prediction_log, params)
        if not (log.folder / FILE).exists():
            return []
        rows = [row for row in log.read() if not row.image.problem]
        answered = {row.image.sha256: row.label for row in rows if not is_shadow(row)}
        behind = {row.image.sha256: row.label for row in rows if row.model == f"{model} version {version} ({SHADOW})"}
        return [ShadowAnswer(one, answered[one], label) for one, label in behind.items() if one in answered]

    return of_version
