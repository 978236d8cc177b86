"""Charts as inline SVG: coloured by the page's style sheet, so that they follow light and dark."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from graft.analysis.inspect.inspect_report import ClassCount
from graft.core.html.fragments import figure

MAX_BARS = 60
# Units and, at most, CSS pixels: text of 14 units is 12 pixels high and more where a phone leaves 300 for the drawing.
WIDTH = 340
_MAX_DOTS = 1500
_SPLIT_WORDS = {"": "images", "train": "train", "val": "val", "test": "test"}


def class_bars(classes: Sequence[ClassCount], splits: Sequence[str]) -> str:
    """Return images per class as horizontal bars, stacked by split; of many classes the largest and the smallest.

    Rows of HTML rather than a drawing, so that names stay as large as all other text on a narrow screen.
    """
    shown = bars_shown(classes)
    most = max((entry.total for entry in shown), default=0) or 1
    rows = []
    for entry in shown:
        name = escape(entry.label)
        parts = "".join(
            f'<i class="split-{split or "all"}" style="width:{100 * count / most:.2f}%" '
            f'title="{name}: {count:,} {_SPLIT_WORDS[split]}"></i>'
            for split in splits
            if (count := entry.images.get(split, 0))
        )
        rows.append(f'<li><b title="{name}">{name}</b><span>{parts}</span><em>{entry.total:,}</em></li>')
    return f'<ul class="bars" aria-label="Images per class">{"".join(rows)}</ul>'


def bars_shown(classes: Sequence[ClassCount]) -> list[ClassCount]:
    """The classes that :func:`class_bars` shows: all, or the largest and the smallest, in order of size."""
    ordered = sorted(classes, key=lambda entry: (-entry.total, entry.label))
    if len(ordered) <= MAX_BARS:
        return ordered
    return ordered[: MAX_BARS // 2] + ordered[-(MAX_BARS // 2) :]


def size_scatter(widths: np.ndarray, heights: np.ndarray) -> str:
    """Width against height in pixels, both logarithmic; a dot's area grows with the images of that size.

    Of very many different sizes, evenly chosen ones are drawn.
    """
    sizes, counts = np.unique(np.stack([widths, heights], axis=1), axis=0, return_counts=True)
    if len(sizes) > _MAX_DOTS:
        chosen = np.linspace(0, len(sizes) - 1, _MAX_DOTS).round().astype(int)
        sizes, counts = sizes[chosen], counts[chosen]
    width, height, left, bottom = WIDTH, 340, 56, 46
    x_axis = _LogAxis(sizes[:, 0].min(), sizes[:, 0].max(), left, width - 14)
    y_axis = _LogAxis(sizes[:, 1].min(), sizes[:, 1].max(), height - bottom, 12)
    parts = []
    for tick in x_axis.ticks():
        x = x_axis.at(tick)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="12" y2="{height - bottom}"/>')
        parts.append(f'<text x="{x:.1f}" y="{height - bottom + 17}" text-anchor="middle">{tick:,}</text>')
    for tick in y_axis.ticks():
        y = y_axis.at(tick)
        parts.append(f'<line class="grid" x1="{left}" x2="{width - 14}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{tick:,}</text>')
    largest = counts.max()
    for (w, h), count in zip(sizes.tolist(), counts.tolist(), strict=True):
        radius = 2.5 + 9.5 * np.sqrt((count - 1) / largest)
        parts.append(
            f'<circle class="dot" cx="{x_axis.at(w):.1f}" cy="{y_axis.at(h):.1f}" r="{radius:.1f}">'
            f"<title>{w} x {h} pixels: {count:,} images</title></circle>"
        )
    parts.append(
        f'<text x="{(left + width) / 2}" y="{height - 6}" text-anchor="middle">width in pixels</text>'
    )
    parts.append(
        f'<text transform="translate(13 {(height - bottom) / 2}) rotate(-90)" text-anchor="middle">height in pixels'
        "</text>"
    )
    return svg(width, height, "Width and height of the images", parts)


def histogram(
    values: np.ndarray,
    title: str,
    limits: Sequence[float] = (),
    logarithmic: bool = False,
    recent: np.ndarray | None = None,
) -> str:
    """Return a drawing of how often a figure takes which values, in 30 bars; dashed lines where its outliers begin.

    Args:
        values: float ``[N]``.
        title: names the figure, for those who see no picture too.
        limits: values with a line, where they lie among the values.
        logarithmic: bars of equal factors instead of equal widths; values that are not positive join the first.
        recent: float ``[M]``, other images to compare ``values`` of training images with: drawn as a line.
    """
    samples = [np.asarray(some, np.float64) for some in (values, recent) if some is not None]
    if logarithmic:
        every = np.concatenate(samples)
        least = float(every[every > 0].min(initial=np.inf))
        samples = [np.log10(np.maximum(some, least if least < np.inf else 1.0)) for some in samples]
        limits = [float(np.log10(limit)) for limit in limits if limit > 0]
    low, high = float(min(some.min() for some in samples)), float(max(some.max() for some in samples))
    if high - low < 1e-12:
        low, high = low - 0.5, high + 0.5
    counts, edges = np.histogram(samples[0], bins=30, range=(low, high))
    shares = [np.histogram(some, bins=30, range=(low, high))[0] / len(some) for some in samples]
    width, height, bottom = WIDTH, 190, 44
    span = width - 24
    scale = (height - bottom - 12) / max(share.max() for share in shares)

    def at(value: float) -> float:
        return 12 + span * (value - low) / (high - low)

    def words(value: float) -> str:
        return figure(10**value if logarithmic else value)

    parts, line = [], []
    for bar, (start, end) in enumerate(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)):
        tall = max(1.0, scale * float(shares[0][bar]))
        said = f"{counts[bar]:,} images"
        if recent is not None:
            said = f"{shares[0][bar]:.1%} of training images, {shares[1][bar]:.1%} of recent ones"
            top = height - bottom - scale * float(shares[1][bar])
            line += [f"{at(start):.1f},{top:.1f}", f"{at(end):.1f},{top:.1f}"]
        if counts[bar] or recent is not None:
            parts.append(
                f'<rect class="split-all" x="{at(start):.1f}" y="{height - bottom - tall:.1f}" '
                f'width="{span / 30 - 1.5:.1f}" height="{tall:.1f}">'
                f"<title>{words(start)} to {words(end)}: {said}</title></rect>"
            )
    if line:
        parts.append(f'<polyline class="recent" points="{" ".join(line)}"/>')
    parts.append(
        f'<line class="axis" x1="12" x2="{width - 12}" y1="{height - bottom}" y2="{height - bottom}"/>'
    )
    for k in range(5):
        value = low + (high - low) * k / 4
        anchor = {0: "start", 4: "end"}.get(k, "middle")
        parts.append(
            f'<text x="{at(value):.1f}" y="{height - bottom + 17}" text-anchor="{anchor}">{words(value)}</text>'
        )
    for limit in limits:
        if low < limit < high:
            x = at(limit)
            parts.append(
                f'<line class="limit" x1="{x:.1f}" x2="{x:.1f}" y1="6" y2="{height - bottom}">'
                f"<title>Outliers begin at {words(limit)}</title></line>"
            )
    parts.append(f'<text x="{width / 2}" y="{height - 6}" text-anchor="middle">{escape(title)}</text>')
    return svg(width, height, title, parts)


class _LogAxis:
    """Where a number of pixels lies between two ends of a drawing."""

    def __init__(self, least: float, most: float, start: float, end: float) -> None:
        # Room on both sides, and some extent where all images are of one size.
        self.low, self.high = np.log2(max(least, 1)) - 0.15, np.log2(max(most, 1)) + 0.15
        self.start, self.end = start, end

    def at(self, value: float) -> float:
        share = (np.log2(max(value, 1)) - self.low) / (self.high - self.low)
        return float(self.start + share * (self.end - self.start))

    def ticks(self) -> list[int]:
        """Round numbers: of the series 1, 2, 5 where there is room for them, else powers of ten."""
        low, high = 2**self.low, 2**self.high
        for digits in ((1,), (1, 2, 5), (1, 1.5, 2, 3, 5, 7)):
            ticks = [
                int(digit * 10**power) for power in range(6) for digit in digits if digit * 10**power >= 1
            ]
            inside = sorted({tick for tick in ticks if low <= tick <= high})
            if len(inside) >= 3:
                return inside
        return inside or [round(2 ** ((self.low + self.high) / 2))]


def svg(width: int, height: int, title: str, parts: list[str]) -> str:
    """A drawing of so many units, at most as wide in CSS pixels; ``title`` is for those who see no picture."""
    return (
        f'<svg role="img" aria-label="{escape(title)}" viewBox="0 0 {width} {height}" '
        f'style="max-width:{width}px">{"".join(parts)}</svg>'
    )
