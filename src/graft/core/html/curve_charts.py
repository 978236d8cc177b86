"""Curves over a square from 0 to 1: ROC, precision by recall, probabilities against shares."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from graft.core.html.charts import WIDTH, Drawing

# Of different dashes in the style sheet, so that curves are told apart without colours too.
SERIES = 4
_LEFT, _TOP, _BOTTOM, _RIGHT = 62, 12, 46, 14


@dataclass(frozen=True)
class Curve:
    """One line of a drawing.

    Attributes:
        name: what the pointer shows over it.
        x, y: values ``[N]``, 0..1.
        low, high: ends of an interval of each ``y``, ``[N]``; drawn as bars, with dots instead of a line.
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    low: np.ndarray | None = None
    high: np.ndarray | None = None


def unit_curves(title: str, x_label: str, y_label: str, curves: Sequence[Curve], diagonal: bool = False) -> Drawing:
    """Return a drawing of curves, the first :data:`SERIES` of them, in the order of the legend's ``series-1`` on.

    Args:
        title: for those who see no picture.
        diagonal: a dashed line from (0, 0) to (1, 1): what chance, or a perfect calibration, would give.
    """
    width, height = WIDTH, 320
    drawing = Drawing(width, height, title)
    span, rise = width - _LEFT - _RIGHT, height - _TOP - _BOTTOM

    def at(x: float, y: float) -> tuple[float, float]:
        return _LEFT + span * x, _TOP + rise * (1 - y)

    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        x, y = at(tick, tick)
        drawing.add("line", "grid", x1=x, x2=x, y1=_TOP, y2=height - _BOTTOM)
        drawing.add("line", "grid", x1=_LEFT, x2=width - _RIGHT, y1=y, y2=y)
        drawing.add("text", text=f"{tick:g}", x=x, y=height - _BOTTOM + 17, text_anchor="middle")
        drawing.add("text", text=f"{tick:g}", x=_LEFT - 8, y=y + 4, text_anchor="end")
    if diagonal:
        (x1, y1), (x2, y2) = at(0, 0), at(1, 1)
        drawing.add("line", "limit", x1=x1, y1=y1, x2=x2, y2=y2)
    for number, curve in enumerate(curves[:SERIES], 1):
        places = [at(x, y) for x, y in zip(curve.x.tolist(), curve.y.tolist(), strict=True)]
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        if curve.low is None or curve.high is None:
            drawing.add("polyline", f"curve series-{number}", title=curve.name, points=points)
            continue
        for (x, y), low, high in zip(places, curve.low.tolist(), curve.high.tolist(), strict=True):
            drawing.add("line", f"curve series-{number}", x1=x, x2=x, y1=at(0, low)[1], y2=at(0, high)[1])
            drawing.add("circle", "dot", cx=x, cy=y, r=4)
    drawing.add("text", text=x_label, x=(_LEFT + width) / 2, y=height - 6, text_anchor="middle")
    turned = f"translate(13 {(height - _BOTTOM) / 2}) rotate(-90)"
    drawing.add("text", text=y_label, transform=turned, text_anchor="middle")
    return drawing
