"""The page: one HTML file that holds its own pictures and style, and opens without a network.

Every name that comes from the data is escaped; equal data gives an equal page.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from graft.analysis.inspect.contact_sheets import contact_sheets
from graft.analysis.inspect.inspect_report import Alike, Picture, Report
from graft.analysis.inspect.outliers import LIMIT
from graft.core.files import write_file
from graft.core.html.charts import class_bars, histogram, size_scatter
from graft.core.html.html_page import PageSection, ShownPicture, link_to, render, sections_by_key
from graft.data.scan.thumbnails import make_thumbnails

if TYPE_CHECKING:
    import pandas as pd

# What is shown of each kind at most; the JSON has all of it.
MAX_BARS = 60
MAX_ISSUES = 100
MAX_GROUPS = 24
MAX_IN_GROUP = 8
MAX_PAIRS = 24
MAX_OUTLIERS = 14
MAX_LEFT_OUT = 300

_NAME_LENGTH = 22  # characters of a file's name below its picture: two lines


def write_page(target: Path, report: Report, images: pd.DataFrame, data: Path, max_pixels: int) -> int:
    """Write the page of a report; return its size in bytes.

    Args:
        target: the HTML file; its folder is made.
        data: the folder that their paths are relative to. Pictures link into it, so that a click shows the original.
        max_pixels: larger pictures are not decoded.
    """
    sheets = contact_sheets(images)
    thumbnails = make_thumbnails(data, _pictures_shown(report, sheets), max_pixels)
    link = Path(os.path.relpath(data, target.parent)).as_posix()
    page = _page(report, images, sheets, thumbnails, link).encode()
    write_file(target, page)
    return len(page)


def _pictures_shown(report: Report, sheets: dict[str, list[Picture]]) -> list[str]:
    """Return paths of the page's pictures by importance: the last ones go without thumbnails where room is short."""
    groups = [*report.copies[:MAX_GROUPS], *report.near_duplicates[:MAX_GROUPS]]
    extremes = (report.darkest, report.brightest, report.blurriest)
    shown: Iterable[Picture] = chain(
        (issue.picture for issue in report.labels.issues[:MAX_ISSUES]),
        *(group.pictures[:MAX_IN_GROUP] for group in groups),
        *((pair.first, pair.second) for pair in report.similar[:MAX_PAIRS]),
        *((outlier.picture for outlier in extreme.outliers[:MAX_OUTLIERS]) for extreme in extremes),
        *sheets.values(),
    )
    return [picture.path for picture in shown]


def _page(
    report: Report, images: pd.DataFrame, sheets: dict[str, list[Picture]], thumbnails: dict[str, str], link: str
) -> str:
    """Return the HTML; ``thumbnails`` are data URIs by path, ``link`` leads from the page's folder to data/."""
    groups = [*report.copies, *report.near_duplicates]
    extremes = {"Darkest": report.darkest, "Brightest": report.brightest, "Blurriest": report.blurriest}
    outliers = sum(len(part.outliers) for part in extremes.values())
    unchecked = bool(report.labels.skipped)
    counts = {
        "labels": None if unchecked else len(report.labels.issues),
        "copies": len(report.copies),
        "near": len(report.near_duplicates),
        "light": outliers,
        "left_out": len(report.left_out),
    }
    sections = [
        PageSection("classes", "Classes", len(report.classes)),
        PageSection("labels", "Likely label errors", counts["labels"]),
        PageSection("copies", "Exact copies", counts["copies"]),
        PageSection("near", "Near-duplicates", counts["near"]),
        PageSection("similar", "Similar by features", None if unchecked else len(report.similar)),
        PageSection("light", "Light and sharpness", outliers),
        PageSection("sizes", "Sizes and formats"),
        PageSection("left_out", "Files left out", counts["left_out"]),
        PageSection("sheets", "Contact sheets", len(sheets)),
    ]

    def shown(picture: Picture) -> ShownPicture:
        leads = link_to(f"{link}/{picture.path}")
        uri = thumbnails.get(picture.path, "")
        return ShownPicture(picture.path, leads, uri, f"{picture.label}: {picture.path}")

    return render(
        "analysis/inspect/inspect.html",
        title=f"{report.dataset}: what is in the data",
        sections=sections_by_key(sections),
        report=report,
        totals=[entry.total for entry in report.classes],
        classes=class_bars({entry.label: entry.images for entry in report.classes}, report.splits, MAX_BARS),
        split_counts=[
            (f"split-{split}", split, sum(entry.images.get(split, 0) for entry in report.classes))
            for split in report.splits
            if split
        ],
        tiles=_tiles(groups, report, counts),
        brightness=histogram(
            images["brightness"].to_numpy(),
            "brightness: mean luma, 0 black to 1 white",
            [part.limit for part in (report.darkest, report.brightest) if part.limit is not None],
        ),
        sharpness=histogram(
            images["sharpness"].to_numpy(),
            "sharpness: Laplacian's variance, logarithmic",
            [] if report.blurriest.limit is None else [report.blurriest.limit],
            logarithmic=True,
        ),
        sizes=size_scatter(images["width"].to_numpy(), images["height"].to_numpy()),
        extremes=extremes,
        outlier_limit=LIMIT,
        sheets={
            entry.label: ([p for p in sheets[entry.label] if p.path in thumbnails], entry.total)
            for entry in report.classes
            if entry.label in sheets
        },
        shown=shown,
        short_name=_short_name,
        most={
            "issues": MAX_ISSUES,
            "groups": MAX_GROUPS,
            "in_group": MAX_IN_GROUP,
            "pairs": MAX_PAIRS,
            "outliers": MAX_OUTLIERS,
            "left_out": MAX_LEFT_OUT,
        },
    )


def _tiles(
    groups: list[Alike], report: Report, counts: dict[str, int | None]
) -> list[tuple[str, int | None, str, str]]:
    """Return what the page says first: the section a figure leads to, the figure, its words, and how bad it is."""

    def across(what: str, words: str) -> tuple[str, int, str, str]:
        found = sum(getattr(group, what) for group in groups)
        section = "copies" if any(getattr(group, what) for group in report.copies) else "near"
        return section, found, words, "bad" if found else ""

    labels = "likely label errors" if counts["labels"] is not None else "labels not checked"
    return [
        ("labels", counts["labels"], labels, "warn" if counts["labels"] else ""),
        across("conflicts", "pictures with two labels"),
        across("leaks", "pictures across splits"),
        ("copies", counts["copies"], "groups of exact copies", "warn" if counts["copies"] else ""),
        ("near", counts["near"], "groups of near-duplicates", ""),
        ("light", counts["light"], "unusually dark, bright or blurred", ""),
        ("left_out", counts["left_out"], "files left out", "bad" if counts["left_out"] else ""),
    ]


def _short_name(picture: Picture) -> str:
    """Return what label and split do not say already of a path, and of a long one the two ends."""
    before, found, rest = picture.path.partition(f"{picture.label}/")
    name = rest if found and before.count("/") <= 1 else picture.path
    return name if len(name) <= _NAME_LENGTH else f"{name[:7]}…{name[-_NAME_LENGTH + 8 :]}"
