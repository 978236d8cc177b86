"""Charts for pages as plain values: the macros ``svg`` and ``bars`` write them, the style sheet colours them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from graft.core.html.html_page import figure

# Units and, at most, CSS pixels: text of 14 units is 12 pixels high and more where a phone leaves 300 for the drawing.
WIDTH = 340
_MAX_DOTS = 1500


@dataclass(frozen=True)
class Shape:
    """An element of SVG: its tag and attributes, its text, and what the pointer shows over it."""

    tag: str
    attributes: dict[str, str]
    text: str = ""
    title: str = ""


@dataclass
class Drawing:
    """A drawing of ``width`` x ``height`` units; ``title`` is for those who see no picture.

    Attributes:
        kind: classes of the style sheet.
    """

    width: int
    height: int
    title: str
    kind: str = ""
    shapes: list[Shape] = field(default_factory=list)

    def add(self, tag: str, kind: str = "", text: str = "", title: str = "", **attributes: Any) -> None:
        """Add an element; numbers get one decimal, and ``_`` in the name of an attribute is written ``-``."""
        written = {
            name.replace("_", "-"): f"{value:.1f}" if isinstance(value, float) else str(value)
            for name, value in attributes.items()
        }
        self.shapes.append(Shape(tag, {"class": kind} | written if kind else written, text, title))


@dataclass(frozen=True)
class BarPart:
    """A piece of a bar: what colours it, its share of the longest bar from 0 to 1, what the pointer shows over it."""

    kind: str
    share: float
    words: str = ""


@dataclass(frozen=True)
class BarLine:
    """Describe one bar by its parts side by side, and the words behind it."""

    parts: list[BarPart]
    words: str


@dataclass(frozen=True)
class BarRow:
    """The bars of one name, below each other."""

    name: str
    lines: list[BarLine]


def class_bars(classes: Mapping[str, Mapping[str, int]], splits: Sequence[str], most: int) -> list[BarRow]:
    """Return images per class as bars, stacked by split, in order of size; of more than ``most`` both ends alone.

    Args:
        classes: images by split, ``""`` for none, by class.
    """
    ordered = sorted(classes.items(), key=lambda entry: (-sum(entry[1].values()), entry[0]))
    if len(ordered) > most:
        ordered = ordered[: most // 2] + ordered[-(most // 2) :]
    longest = max((sum(own.values()) for _, own in ordered), default=0) or 1

    def part(label: str, split: str, count: int) -> BarPart:
        return BarPart(f"split-{split or 'all'}", count / longest, f"{label}: {count:,} {split or 'images'}")

    return [
        BarRow(
            label,
            [BarLine([part(label, split, own[split]) for split in splits if own.get(split)], f"{sum(own.values()):,}")],
        )
        for label, own in ordered
    ]


def size_scatter(widths: np.ndarray, heights: np.ndarray) -> Drawing:
    """Return width against height in pixels, both logarithmic; a dot's area grows with the images of that size.

    Of very many different sizes, evenly chosen ones are drawn.
    """
    sizes, counts = np.unique(np.stack([widths, heights], axis=1), axis=0, return_counts=True)
    if len(sizes) > _MAX_DOTS:
        chosen = np.linspace(0, len(sizes) - 1, _MAX_DOTS).round().astype(int)
        sizes, counts = sizes[chosen], counts[chosen]
    width, height, left, bottom = WIDTH, 340, 56, 46
    x_axis = _LogAxis(sizes[:, 0].min(), sizes[:, 0].max(), left, width - 14)
    y_axis = _LogAxis(sizes[:, 1].min(), sizes[:, 1].max(), height - bottom, 12)
    drawing = Drawing(width, height, "Width and height of the images")
    for tick in x_axis.ticks():
        x = x_axis.at(tick)
        drawing.add("line", "grid", x1=x, x2=x, y1=12, y2=height - bottom)
        drawing.add("text", text=f"{tick:,}", x=x, y=height - bottom + 17, text_anchor="middle")
    for tick in y_axis.ticks():
        y = y_axis.at(tick)
        drawing.add("line", "grid", x1=left, x2=width - 14, y1=y, y2=y)
        drawing.add("text", text=f"{tick:,}", x=left - 8, y=y + 4, text_anchor="end")
    largest = counts.max()
    for (w, h), count in zip(sizes.tolist(), counts.tolist(), strict=True):
        radius = float(2.5 + 9.5 * np.sqrt((count - 1) / largest))
        title = f"{w} x {h} pixels: {count:,} images"
        drawing.add("circle", "dot", title=title, cx=x_axis.at(w), cy=y_axis.at(h), r=radius)
    drawing.add("text", text="width in pixels", x=(left + width) / 2, y=height - 6, text_anchor="middle")
    turned = f"translate(13 {(height - bottom) / 2}) rotate(-90)"
    drawing.add("text", text="height in pixels", transform=turned, text_anchor="middle")
    return drawing


def histogram(
    values: np.ndarray,
    title: str,
    limits: Sequence[float] = (),
    logarithmic: bool = False,
    recent: np.ndarray | None = None,
) -> Drawing:
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
    drawing = Drawing(width, height, title, "" if recent is None else "compared")

    def at(value: float) -> float:
        return 12 + span * (value - low) / (high - low)

    def words(value: float) -> str:
        return figure(10**value if logarithmic else value)

    line = []
    for bar, (start, end) in enumerate(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)):
        tall = max(1.0, scale * float(shares[0][bar]))
        found = f"{counts[bar]:,} images"
        if recent is not None:
            found = f"{shares[0][bar]:.1%} of training images, {shares[1][bar]:.1%} of recent ones"
            top = height - bottom - scale * float(shares[1][bar])
            line += [f"{at(start):.1f},{top:.1f}", f"{at(end):.1f},{top:.1f}"]
        if counts[bar] or recent is not None:
            drawing.add(
                "rect",
                "split-all",
                title=f"{words(start)} to {words(end)}: {found}",
                x=at(start),
                y=height - bottom - tall,
                width=span / 30 - 1.5,
                height=tall,
            )
    if line:
        drawing.add("polyline", "recent", points=" ".join(line))
    drawing.add("line", "axis", x1=12, x2=width - 12, y1=height - bottom, y2=height - bottom)
    for k in range(5):
        value = low + (high - low) * k / 4
        anchor = {0: "start", 4: "end"}.get(k, "middle")
        drawing.add("text", text=words(value), x=at(value), y=height - bottom + 17, text_anchor=anchor)
    for limit in limits:
        if low < limit < high:
            x, begins = at(limit), f"Outliers begin at {words(limit)}"
            drawing.add("line", "limit", title=begins, x1=x, x2=x, y1=6, y2=height - bottom)
    drawing.add("text", text=title, x=width / 2, y=height - 6, text_anchor="middle")
    return drawing


class _LogAxis:
    """The place of a number of pixels between two ends of a drawing."""

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
            ticks = [int(digit * 10**power) for power in range(6) for digit in digits if digit * 10**power >= 1]
            inside = sorted({tick for tick in ticks if low <= tick <= high})
            if len(inside) >= 3:
                return inside
        return inside or [round(2 ** ((self.low + self.high) / 2))]
