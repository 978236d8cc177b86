"""Two samples in one drawing, as inline SVG coloured by the page's style sheet."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from graft.inspection.charts import svg
from graft.inspection.fragments import figure

_BARS = 24
# In CSS pixels too, so that text has its own size: a telephone has room for 342.
WIDTH = 320
# Of the classes whose shares changed most.
MAX_CLASSES = 20


def two_histograms(reference: np.ndarray, recent: np.ndarray, title: str, logarithmic: bool = False) -> str:
    """The shares of images by value: the training images as bars, recent ones as a line.

    Args:
        reference, recent: float ``[N]`` and ``[M]``.
        title: names the figure, for those who see no picture too.
        logarithmic: bars of equal factors instead of equal widths; values that are not positive join the first.
    """
    first, second = (np.asarray(values, np.float64) for values in (reference, recent))
    if logarithmic:
        both = np.concatenate([first, second])
        least = float(both[both > 0].min(initial=1.0))
        first, second = (np.log10(np.maximum(values, least)) for values in (first, second))
    low = float(min(first.min(), second.min()))
    high = float(max(first.max(), second.max()))
    if high - low < 1e-12:
        low, high = low - 0.5, high + 0.5
    shares = [np.histogram(values, _BARS, (low, high))[0] / len(values) for values in (first, second)]
    width, height, bottom = WIDTH, 200, 42
    step = (width - 24) / _BARS
    tall = (height - bottom - 14) / max(share.max() for share in shares)

    def words(value: float) -> str:
        return figure(10**value if logarithmic else value)

    parts, outline = [], []
    for bar, (one, other) in enumerate(zip(*(share.tolist() for share in shares), strict=True)):
        left = 12 + bar * step
        start, end = (low + (high - low) * edge / _BARS for edge in (bar, bar + 1))
        parts.append(
            f'<rect class="training" x="{left:.1f}" y="{height - bottom - one * tall:.1f}" '
            f'width="{step - 1:.1f}" height="{one * tall:.1f}"><title>{words(start)} to {words(end)}: '
            f"{one:.1%} of training images, {other:.1%} of recent ones</title></rect>"
        )
        top = height - bottom - other * tall
        outline += [f"{left:.1f},{top:.1f}", f"{left + step:.1f},{top:.1f}"]
    parts.append(f'<polyline class="recent" points="{" ".join(outline)}"/>')
    parts.append(
        f'<line class="axis" x1="12" x2="{width - 12}" y1="{height - bottom}" y2="{height - bottom}"/>'
    )
    for k in range(5):
        anchor = {0: "start", 4: "end"}.get(k, "middle")
        parts.append(
            f'<text x="{12 + (width - 24) * k / 4:.1f}" y="{height - bottom + 17}" text-anchor="{anchor}">'
            f"{words(low + (high - low) * k / 4)}</text>"
        )
    parts.append(f'<text x="{width / 2}" y="{height - 6}" text-anchor="middle">{escape(title)}</text>')
    return svg(width, height, f"{title}, training images and recent ones", parts)


def class_shares(reference: Sequence[str], recent: Sequence[str]) -> str:
    """Return how large a share of its images each class is predicted for: above training's, below the recent one.

    Of very many classes, those whose shares changed most. Rows of HTML, so that long names keep their room.
    """
    first, second = np.asarray(reference, str), np.asarray(recent, str)
    found = [
        (name, float((first == name).mean()), float((second == name).mean()))
        for name in np.union1d(first, second).tolist()
    ]
    changed = sorted(found, key=lambda one: -abs(one[1] - one[2]))[:MAX_CLASSES]
    most = max(max(one[1:]) for one in changed)
    rows = []
    for name, *shares in sorted(changed):
        cells = [
            f'<span><i class="{kind}" style="width:{100 * share / most:.2f}%"></i></span><em>{share:.1%}</em>'
            for share, kind in zip(shares, ("training", "recent"), strict=True)
        ]
        text = escape(name)
        rows.append(f'<li><b title="{text}">{text}</b>{cells[0]}<b></b>{cells[1]}</li>')
    return f'<ul class="bars" aria-label="Shares of predicted classes">{"".join(rows)}</ul>'
