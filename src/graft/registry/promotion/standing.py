"""Say where a candidate and its champion stand in the line of all that was judged, in figures and in sentences."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict

from graft.core.params.gate_params import GateParams
from graft.core.wording import counted
from graft.evaluation.comparison import Comparison
from graft.evaluation.intervals import quantile_for, share_interval
from graft.evaluation.line_figures import NOT_ASKED, LineFigures, Metric, measure_line
from graft.evaluation.shrinkage import Shrunk, is_worth_it, shrink
from graft.registry.promotion.delivery_evidence import DeliveryEvidence
from graft.registry.promotion.judged_predictions import LineMember

if TYPE_CHECKING:
    import pandas as pd

# Standard deviations that a difference needs to be seen at one-sided 95 %, 4 times of 5 (J. Cohen, Statistical Power
# Analysis, 1988): 1.645 + 0.842.
_TO_BE_SEEN = 2.487
COLUMNS = ["sha256", "label", "group"]
# Versions of one recipe, from which their line decides; before, the images alone do.
LINE = 5
# Times as many images as there are, beyond which nobody brings them.
_MOST_TIMES = 50


class Standing(BaseModel):
    """What the line says of a candidate and its champion, in parts of 1 of ``metric``.

    Attributes:
        metric: accuracy or macro_f1.
        judged: versions that were judged so far, this one with them.
        candidate, champion: expected on new images; the champion is None where there is no other.
        candidate_flattery, champion_flattery: what was measured less what is expected.
        by_line: candidate and champion are of one recipe, of which enough were judged for their line to decide.
        gain: of the candidate, expected.
        risk: that it loses more than ``gate.max_loss``, 0..1.
        difference, lower: as measured, and the lower end of its one-sided interval at ``gate.confidence``.
        visible: the least difference that these images would show 4 times of 5, one-sided at 95 %.
        images: in test.
        images_more: test images more, of the same kind, that would settle it if figures stayed; 0 where it is settled,
            None where not even 50 times as many would do.
        promised: lower end of the candidate's accuracy on test, one-sided at ``gate.confidence``.
        worn: test images that more than ``gate.worn_after`` verdicts asked about.
        new: test images beside an official split's that neither model has seen, in no figure but the next two.
        candidate_new, champion_new: accuracy on these; None without any.
        deliveries: what images that came after the champion say of it; None without another champion.
        champion_since: when it became champion, UTC, ISO 8601, or "".
        champion_days: since then.
        challengers_since: versions judged after the champion was made.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    metric: Metric
    judged: int
    candidate: float
    candidate_flattery: float
    champion: float | None = None
    champion_flattery: float | None = None
    by_line: bool = False
    gain: float | None = None
    risk: float | None = None
    difference: float | None = None
    lower: float | None = None
    visible: float | None = None
    images: int
    images_more: int | None = 0
    promised: float | None = None
    worn: int = 0
    new: int = 0
    candidate_new: float | None = None
    champion_new: float | None = None
    deliveries: DeliveryEvidence | None = None
    champion_since: str = ""
    champion_days: int = 0
    challengers_since: int = 0

    def sentences(self) -> list[str]:
        """Return what a person needs to know."""
        name = {"accuracy": "accuracy", "macro_f1": "macro-F1"}[self.metric]
        said = [f"Expected on new images: {name} {self.candidate:.1%}, {_flattery(self.candidate_flattery)}"]
        if self.champion is None or self.champion_flattery is None or self.visible is None:
            said[0] += f"; judged on test: {counted(self.judged, 'version')}."
            return said + self._of_new()
        said[0] += f"; of the champion {self.champion:.1%}, {_flattery(self.champion_flattery)}."
        said.append(
            f"Judged on test: {counted(self.judged, 'version')}. The champion is "
            f"{counted(self.champion_days, 'day')} old, and {counted(self.challengers_since, 'version')} came after it."
        )
        seen = f"These {self.images:,} images would show a difference of {100 * self.visible:.1f} points 4 times of 5"
        if self.images_more is None:
            seen += f"; the two are so close that {_MOST_TIMES} times as many would not settle it"
        elif self.images_more:
            seen += f"; about {self.images_more:,} more would settle this one"
        said.append(f"{seen}.")
        if self.worn:
            said.append(f"{counted(self.worn, 'test image')} were in many verdicts: new ones would tell more.")
        return said + self._of_new() + (self.deliveries.sentences() if self.deliveries else [])

    def _of_new(self) -> list[str]:
        if self.candidate_new is None:
            return []
        of_champion = "" if self.champion_new is None else f", the champion {self.champion_new:.1%}"
        return [
            f"Beside the official test, of {counted(self.new, 'new test image')} the candidate has "
            f"{self.candidate_new:.1%} right{of_champion}."
        ]


def stand(
    members: Sequence[LineMember],
    judged: int,
    test: pd.DataFrame,
    later: pd.DataFrame,
    candidate: str,
    champion: str | None,
    gate: GateParams,
    comparison: Comparison | None,
    since: str,
    now: datetime,
    deliveries: DeliveryEvidence | None = None,
) -> Standing:
    """Return where the candidate stands.

    Args:
        members: see :func:`members_of`; candidate and champion are asked about all of ``test``, the others about any
            share of it.
        judged: how many versions were.
        test: columns sha256, label and group.
        later: the same of other images; they tell apart those members that were asked about them.
        champion: None where there is none, or where it is the candidate; then there is no ``comparison``.
        gate: the limits.
        since: when the champion became that, UTC, ISO 8601, or "".
        deliveries: what is known of the champion from images that came after it.
    """
    chosen, figures = _measured(members, test, later, gate.metric)
    places = np.array([member.place for member in chosen])
    recipes = np.array([member.recipe for member in chosen])
    numbers = [member.version for member in chosen]

    def shrunk(times: float) -> Shrunk:
        return shrink(figures.figures[None], figures.noise / times, places, recipes)

    expected = shrunk(1).expected()[0]
    one = numbers.index(candidate)
    of_candidate = chosen[one].predictions.by_image()
    is_right = np.array([of_candidate[image] == label for image, label in test[COLUMNS[:2]].to_numpy(str).tolist()])
    times = Counter(image for member in chosen for image in member.predictions.sha256)
    alone = Standing(
        metric=gate.metric,
        judged=judged,
        candidate=float(expected[one]),
        candidate_flattery=float(figures.figures[one] - expected[one]),
        images=len(test),
        worn=sum(times[image] > gate.worn_after for image in test["sha256"]),
        promised=share_interval(is_right, test["group"].to_numpy(str), 2 * gate.confidence - 1).low,
    )
    if champion is None or comparison is None:
        return alone
    other = numbers.index(champion)

    def odds(times: float) -> tuple[float, float]:
        found, places_of = shrunk(times), (np.array([one]), np.array([other]))
        gain = found.expected()[0, one] - found.expected()[0, other]
        return float(gain), float(found.risk(*places_of, gate.max_loss)[0])

    gain, risk = odds(1)
    noise = figures.noise
    error = float(np.sqrt(noise[one, one] + noise[other, other] - 2 * noise[one, other]))
    difference, lower = comparison.difference, comparison.lower
    if gate.metric != "accuracy":
        difference = float(figures.figures[one] - figures.figures[other])
        lower = difference - error * quantile_for(2 * gate.confidence - 1, comparison.groups)
    by_line = recipes[one] == recipes[other] and int(np.sum(recipes == recipes[one])) >= LINE
    found = alone.model_copy(
        update={
            "champion": float(expected[other]),
            "champion_flattery": float(figures.figures[other] - expected[other]),
            "by_line": bool(by_line),
            "gain": gain,
            "risk": risk,
            "difference": difference,
            "lower": lower,
            "visible": _TO_BE_SEEN * error,
            "champion_since": since,
            "champion_days": (now - datetime.fromisoformat(since)).days if since else 0,
            "challengers_since": sum(int(member.version) > int(champion) for member in members),
        }
    )
    return found.model_copy(update={"images_more": _images_more(found, odds, gate), "deliveries": deliveries})


def is_no_loss(standing: Standing, gate: GateParams) -> bool:
    """Return whether the candidate may take the place of the champion.

    Where there is a line, it is expected to gain more than its risk counts, or the risk is small. Where there is none,
    its one-sided interval excludes a loss of more than ``gate.max_loss``.
    """
    if standing.gain is None or standing.risk is None or standing.lower is None:
        return True  # no other champion
    if is_freed(standing, gate):
        return True
    if not standing.by_line:
        return standing.lower >= -gate.max_loss
    return bool(is_worth_it(np.array(standing.gain), np.array(standing.risk), gate.max_loss, gate.confidence))


def is_freed(standing: Standing, gate: GateParams) -> bool:
    """Return whether a stuck champion gives way: deliveries show challengers to be better, ``gate.deliveries`` lets
    them decide, and the candidate is neither shown nor expected to be worse on test.
    """
    if gate.deliveries != "decide" or not (standing.deliveries and standing.deliveries.is_stuck):
        return False
    if standing.gain is None or standing.difference is None or standing.lower is None:
        return False
    high = 2 * standing.difference - standing.lower  # the other end of its interval, nearly
    return standing.gain >= 0 and high >= 0


def _images_more(standing: Standing, odds: Callable[[float], tuple[float, float]], gate: GateParams) -> int | None:
    """Return how many test images more would show what the figures say, if these stayed as they are."""
    if is_no_loss(standing, gate):
        return 0
    assert standing.gain is not None
    assert standing.difference is not None
    assert standing.lower is not None
    if not standing.by_line:
        room = standing.difference + gate.max_loss
        # Errors fall as the root of the number of images.
        times = ((standing.difference - standing.lower) / room) ** 2 if room > 0 else 1.0
        return math.ceil((times - 1) * standing.images) if times <= _MOST_TIMES else None
    if standing.gain < 0:
        return 0
    for times in np.geomspace(1.1, _MOST_TIMES, 42).tolist():
        gain, risk = odds(times)
        if is_worth_it(np.array(gain), np.array(risk), gate.max_loss, gate.confidence):
            return math.ceil((times - 1) * standing.images)
    return None


def _measured(
    members: Sequence[LineMember], test: pd.DataFrame, later: pd.DataFrame, metric: Metric
) -> tuple[list[LineMember], LineFigures]:
    """Return the members that were asked about enough of the test images, and their figures."""
    images = np.concatenate([test[COLUMNS].to_numpy(str), later[COLUMNS].to_numpy(str).reshape(-1, 3)])
    classes = {name for member in members for name in member.predictions.classes}
    index_of = {name: index for index, name in enumerate(sorted(classes | set(images[:, 1])))}
    chosen, rows = [], []
    for member in members:
        predicted = member.predictions.by_image()
        row = np.array([index_of[predicted[image]] if image in predicted else NOT_ASKED for image in images[:, 0]])
        # Of fewer test images, a figure is of other images than the candidate's.
        if (row[: len(test)] != NOT_ASKED).mean() >= 0.5:
            chosen.append(member)
            rows.append(row)
    labels = np.array([index_of[label] for label in images[:, 1]])
    of = np.arange(len(images)) < len(test)
    return chosen, measure_line(labels, np.stack(rows), images[:, 2], metric, of)


def _flattery(value: float) -> str:
    if abs(value) < 0.0005:
        return "as measured"
    return f"measured {100 * abs(value):.1f} points {'more' if value > 0 else 'less'}"
