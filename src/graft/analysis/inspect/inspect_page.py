"""The page: one HTML file that holds its own pictures and style, and opens without a network.

Every name that comes from the data is escaped; equal data gives an equal page.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from html import escape
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from graft.analysis.inspect import charts
from graft.analysis.inspect.contact_sheets import contact_sheets
from graft.analysis.inspect.inspect_report import Alike, Extremes, LabelCheck, Picture, Report
from graft.analysis.inspect.outliers import LIMIT
from graft.analysis.inspect.picture_fragments import Pictures, numbers, tags
from graft.core.files import write_file
from graft.core.html.fragments import bar, cut, figure
from graft.core.html.html_page import PageSection, html_page
from graft.data.scan.thumbnails import make_thumbnails

if TYPE_CHECKING:
    import pandas as pd

# What is shown of each kind at most; the JSON has all of it.
MAX_ISSUES = 100
MAX_GROUPS = 24
MAX_IN_GROUP = 8
MAX_PAIRS = 24
MAX_OUTLIERS = 14
MAX_UNREADABLE = 300

_Item = TypeVar("_Item")


def write_page(target: Path, report: Report, images: pd.DataFrame, data: Path, max_pixels: int) -> int:
    """Writes the page of a report; returns its size in bytes.

    Args:
        target: the HTML file; its folder is made.
        data: the folder that their paths are relative to. Pictures link into it, so that a click shows the original.
        max_pixels: larger pictures are not decoded.
    """
    sheets = contact_sheets(images)
    thumbnails = make_thumbnails(data, _pictures_shown(report, sheets), max_pixels)
    link = Path(os.path.relpath(data, target.parent)).as_posix()
    page = _Page(report, images, sheets, thumbnails, link).html().encode()
    write_file(target, page)
    return len(page)


def _pictures_shown(report: Report, sheets: dict[str, list[Picture]]) -> list[str]:
    """Paths of what the page shows, what matters most first: where thumbnails must be saved, contact sheets shrink."""
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


class _Page:
    """The sections of one page."""

    def __init__(
        self,
        report: Report,
        images: pd.DataFrame,
        sheets: dict[str, list[Picture]],
        thumbnails: dict[str, str],
        link: str,
    ) -> None:
        self.report = report
        self.images = images
        self.sheets = sheets
        self.pictures = Pictures(thumbnails, link)

    def html(self) -> str:
        report = self.report
        outliers = sum(len(part.outliers) for part in (report.darkest, report.brightest, report.blurriest))
        skipped = bool(report.labels.skipped)
        sections = [
            PageSection(key, title, body(), count)
            for key, title, count, body in (
                ("classes", "Classes", len(report.classes), self._classes),
                (
                    "labels",
                    "Likely label errors",
                    None if skipped else len(report.labels.issues),
                    self._labels,
                ),
                ("copies", "Exact copies", len(report.copies), self._copies),
                ("near", "Near-duplicates", len(report.near_duplicates), self._near),
                ("similar", "Similar by features", None if skipped else len(report.similar), self._similar),
                ("light", "Light and sharpness", outliers, self._light),
                ("sizes", "Sizes and formats", None, self._sizes),
                ("unreadable", "Unreadable files", len(report.unreadable), self._unreadable),
                ("sheets", "Contact sheets", len(self.sheets), self._contact_sheets),
            )
        ]
        heading = (
            f"<h1>{escape(report.dataset)}</h1>\n<p>{report.images:,} images in {len(report.classes):,} classes, "
            f"{report.bytes / 1e6:,.1f} MB. Paths are relative to data/; a click on a picture opens its file.</p>\n"
            f"{self._tiles(outliers)}"
        )
        return html_page(f"{report.dataset}: what is in the data", heading, sections)

    def _tiles(self, outliers: int) -> str:
        report = self.report
        conflicts = sum(group.conflicts for group in (*report.copies, *report.near_duplicates))
        leaks = sum(group.leaks for group in (*report.copies, *report.near_duplicates))
        labels = report.labels

        def found_in(what: str) -> str:
            return "copies" if any(getattr(group, what) for group in report.copies) else "near"

        tiles = [
            (
                "labels",
                "–" if labels.skipped else f"{len(labels.issues):,}",
                "labels not checked" if labels.skipped else "likely label errors",
                "warn" if labels.issues else "",
            ),
            (found_in("conflicts"), f"{conflicts:,}", "pictures with two labels", "bad" if conflicts else ""),
            (found_in("leaks"), f"{leaks:,}", "pictures across splits", "bad" if leaks else ""),
            ("copies", f"{len(report.copies):,}", "groups of exact copies", "warn" if report.copies else ""),
            ("near", f"{len(report.near_duplicates):,}", "groups of near-duplicates", ""),
            ("light", f"{outliers:,}", "unusually dark, bright or blurred", ""),
            (
                "unreadable",
                f"{len(report.unreadable):,}",
                "unreadable files",
                "bad" if report.unreadable else "",
            ),
        ]
        items = "".join(
            f'<li class="{tone}"><a href="#{key}"><b>{figure}</b><span>{words}</span></a></li>'
            for key, figure, words, tone in tiles
        )
        return f'<ul class="tiles">{items}</ul>'

    def _classes(self) -> str:
        classes, splits = self.report.classes, self.report.splits
        counts = [entry.total for entry in classes]
        shown = len(charts.bars_shown(classes))
        largest, smallest = max(counts), min(counts)
        words = f"The largest class has {largest:,} images, the smallest {smallest:,}" + (
            f": {largest / smallest:.1f} to 1." if smallest else ": a class without images cannot be learned."
        )
        legend = ""
        if splits != [""]:
            entries = "".join(
                f'<li><i style="background:var(--{split})"></i>{split} '
                f'<span class="soft">{sum(entry.images.get(split, 0) for entry in classes):,}</span></li>'
                for split in splits
            )
            legend = f'<ul class="legend" aria-label="Official splits">{entries}</ul>'
        rest = "" if shown == len(classes) else cut(shown, len(classes), "the largest and the smallest")
        return f"<p>{words}</p>{legend}{charts.class_bars(classes, splits)}{rest}"

    def _labels(self) -> str:
        check = self.report.labels
        if check.skipped:
            return f"<p>Not looked for: {escape(check.skipped.rstrip('.'))}.</p>"
        rows = "".join(
            f"<tr><td>{self.pictures.alone(issue.picture)}</td><td><b>{escape(issue.picture.label)}</b></td>"
            f"<td><b>{escape(issue.suggested)}</b></td>"
            f"<td>{bar(issue.given_probability)}</td><td>{bar(issue.suggested_probability)}</td>"
            f"<td>{escape(issue.picture.split)}</td><td><code>{escape(issue.picture.path)}</code></td></tr>"
            for issue in check.issues[:MAX_ISSUES]
        )
        head = (
            "<tr><th>Picture</th><th>Given label</th><th>Suggested</th><th>P(given)</th><th>P(suggested)</th>"
            f"<th>{'Split' if self.report.splits != [''] else ''}</th><th>File</th></tr>"
        )
        table = (
            f'<div class="scroll" tabindex="0"><table><thead>{head}</thead><tbody>{rows}</tbody></table></div>'
            if rows
            else '<p class="none">No label is contradicted by the rest of the data.</p>'
        )
        return f"{_how_labels(check)}{table}{cut(min(len(check.issues), MAX_ISSUES), len(check.issues))}"

    def _copies(self) -> str:
        words = "Files with equal bytes. One picture with two labels is a mistake; one in two splits flatters the test."
        return f"<p>{words}</p>{self._groups(self.report.copies, 'No two files are equal.')}"

    def _near(self) -> str:
        words = "Pictures alike to the eye: frames of one film, a burst, the same photograph saved twice."
        return f"<p>{words}</p>{self._groups(self.report.near_duplicates, 'No near-duplicates.')}"

    def _similar(self) -> str:
        pairs = self.report.similar
        if self.report.labels.skipped:
            return "<p>Not looked for, since no features were computed.</p>"
        words = (
            "Pairs that the backbone finds nearly the same, beyond the groups above: each image with the one most "
            "like it, by the cosine of their features less the mean of the data set."
        )
        cards = "".join(
            f'<div class="card"><header><span class="tag">cosine {pair.cosine:.3f}</span>'
            f"{tags(Alike([pair.first, pair.second]))}</header>"
            f'<div class="pictures">{self.pictures.captioned(pair.first)}'
            f"{self.pictures.captioned(pair.second)}</div></div>"
            for pair in pairs[:MAX_PAIRS]
        )
        none = '<p class="none">None.</p>' if not pairs else ""
        return f'<p>{words}</p>{none}<div class="cards">{cards}</div>{cut(min(len(pairs), MAX_PAIRS), len(pairs))}'

    def _light(self) -> str:
        report = self.report
        brightness = charts.histogram(
            self.images["brightness"].to_numpy(),
            "brightness: mean luma, 0 black to 1 white",
            [part.limit for part in (report.darkest, report.brightest) if part.limit is not None],
        )
        sharpness = charts.histogram(
            self.images["sharpness"].to_numpy(),
            "sharpness: variance of the Laplacian, logarithmic",
            [] if report.blurriest.limit is None else [report.blurriest.limit],
            logarithmic=True,
        )
        return (
            f"<p>Outliers have a modified z-score beyond {LIMIT} (Iglewicz and Hoaglin 1993), by the median absolute "
            f'deviation; sharpness is judged by its logarithm.</p><div class="side-by-side">{brightness}{sharpness}'
            f"</div>{self._outliers('Darkest', report.darkest)}{self._outliers('Brightest', report.brightest)}"
            f"{self._outliers('Blurriest', report.blurriest)}"
        )

    def _sizes(self) -> str:
        report = self.report
        scatter = charts.size_scatter(self.images["width"].to_numpy(), self.images["height"].to_numpy())
        figures = "".join(
            f"<tr><td>{name}</td>{numbers(spread, digits)}</tr>"
            for name, spread, digits in (
                ("width, pixels", report.width, 0),
                ("height, pixels", report.height, 0),
                ("brightness", report.brightness, 3),
                ("sharpness", report.sharpness, 0),
            )
        )
        kinds = "".join(
            f'<tr><td>{kind}</td><td>{escape(name)}</td><td class="number">{count:,}</td></tr>'
            for kind, counts in (("format", report.formats), ("pixels", report.modes))
            for name, count in counts.items()
        )
        number = '<th class="number">'
        return (
            f'<p>As stored, before an EXIF rotation.</p><div class="side-by-side">{scatter}<div>'
            f"<table><thead><tr><th></th>{number}least</th>{number}median</th>{number}most</th></tr></thead>"
            f"<tbody>{figures}</tbody></table><h3>Formats</h3><table><tbody>{kinds}</tbody></table></div></div>"
        )

    def _unreadable(self) -> str:
        files = self.report.unreadable
        if not files:
            return '<p class="none">Every file can be read.</p>'
        rows = "".join(
            f"<tr><td><code>{escape(file.path)}</code></td><td>{escape(file.reason)}</td></tr>"
            for file in files[:MAX_UNREADABLE]
        )
        return (
            '<div class="scroll" tabindex="0"><table><thead><tr><th>File</th><th>Why it is set aside</th></tr></thead>'
            f"<tbody>{rows}</tbody></table></div>{cut(min(len(files), MAX_UNREADABLE), len(files))}"
        )

    def _contact_sheets(self) -> str:
        totals = {entry.label: entry.total for entry in self.report.classes}
        parts = []
        for label, sheet in self.sheets.items():
            shown = [picture for picture in sheet if picture.path in self.pictures.thumbnails]
            words = (
                f"{len(shown):,} of {totals[label]:,} shown"
                if len(shown) < totals[label]
                else f"{len(shown):,}"
            )
            cells = "".join(self.pictures.alone(picture) for picture in shown)
            parts.append(f'<h3>{escape(label)}<small>{words}</small></h3><div class="sheet">{cells}</div>')
        return f"<p>Taken evenly from each class.</p>{''.join(parts)}{cut(len(self.sheets), len(totals), 'classes')}"

    def _groups(self, groups: Sequence[Alike], none: str) -> str:
        if not groups:
            return f'<p class="none">{none}</p>'
        cards = []
        for group in groups[:MAX_GROUPS]:
            shown = group.pictures[:MAX_IN_GROUP]
            figures = "".join(self.pictures.captioned(picture) for picture in shown)
            cards.append(
                f'<div class="card"><header><span class="tag">{len(group.pictures):,} pictures</span>{tags(group)}'
                f'</header><div class="pictures">{figures}</div>{cut(len(shown), len(group.pictures))}</div>'
            )
        rest = cut(min(len(groups), MAX_GROUPS), len(groups), "groups, the worst first")
        return f'<div class="cards">{"".join(cards)}</div>{rest}'

    def _outliers(self, title: str, extremes: Extremes) -> str:
        total = len(extremes.outliers)
        shown = extremes.outliers[:MAX_OUTLIERS]
        words = f"{len(shown):,} of {total:,} shown" if len(shown) < total else f"{total:,}"
        if not shown:
            reason = "none stands out" if extremes.limit is not None else "all are alike"
            return f"<h3>{title}<small>{reason}</small></h3>"
        figures = "".join(
            self.pictures.captioned(
                outlier.picture,
                f'{figure(outlier.value)} <span class="soft">z {outlier.score:.1f}</span><br>',
            )
            for outlier in shown
        )
        return f'<h3>{title}<small>{words}</small></h3><div class="pictures">{figures}</div>'


def _how_labels(check: LabelCheck) -> str:
    notes = "".join(f" {escape(note)}" for note in check.notes)
    return (
        f"<p>Each of {check.checked:,} labels was judged by a classifier that never saw the image, nor a copy of it: "
        f"logistic regression on features of {escape(check.backbone)}, {check.folds} folds. It agrees with "
        f"{check.agreement:.1%} of them. Listed is what confident learning (Northcutt, Jiang and Chuang 2021) holds "
        f"for likely wrong, least believable first. Look before you change anything: a rare or odd picture with a "
        f"right label is listed too.{notes}</p>"
    )
