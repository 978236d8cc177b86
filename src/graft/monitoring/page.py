"""The page of a comparison: one HTML file that holds its own pictures and style, and opens without a network."""

from __future__ import annotations

import base64
import io
from html import escape
from pathlib import Path

import numpy as np

from graft.core.page_style import STYLE
from graft.monitoring.charts import class_shares, two_histograms
from graft.monitoring.checks import Check
from graft.monitoring.monitor import DriftReport, least_alike
from graft.monitoring.samples import FIGURES

# Pictures of recent images that are least like the training images.
MAX_PICTURES = 24

_STYLE = """
svg .training, .legend .training { fill: var(--train); background: var(--train); }
svg .training { fill-opacity: .45; } svg .recent { fill: none; stroke: var(--test); stroke-width: 2.5; }
svg .recent-bar { fill: var(--test); } .legend .recent { background: var(--test); }
.verdict { font-size: 1.15rem; padding: .9rem 1.1rem; border-radius: .7rem; background: var(--card);
  border: 1px solid var(--line); } .verdict.bad { background: var(--bad-paper); color: var(--bad); }
td.number { white-space: nowrap; } td.bad { color: var(--bad); font-weight: 650; } td.good { color: var(--good); }
"""
_UNITS = {
    "brightness": "brightness: mean luma, 0 black to 1 white",
    "sharpness": "sharpness: variance of the Laplacian, logarithmic",
    "width": "width in pixels",
    "height": "height in pixels",
}


def in_words(report: DriftReport) -> str:
    """What was found, in a sentence or two."""
    recent = report.recent
    if report.stuck:
        return (
            f"Drift: of {recent.seen - recent.unreadable:,} recent images, all but {len(recent):,} nearly repeat "
            "another one. A camera that is stuck, or covered, looks like that."
        )
    found = [check.name for check in report.checks if check.drift]
    verdict = f"Drift in {', '.join(found)}" if found else f"No drift in {len(report.checks)} checks"
    repeats = f", {recent.repeats:,} repeats left out" if recent.repeats else ""
    return (
        f"{verdict}: {len(recent):,} recent images{repeats}, against {len(report.reference):,} of training. "
        f"Where nothing has changed, this says drift once in {1 / report.alpha:,.0f} times at most."
    )


def write_page(target: Path, report: DriftReport) -> None:
    """Writes the page; its folder is made."""
    sections = [("Checks", _checks(report))] if report.checks else []
    if report.checks:
        sections.append(("Figures", _figures(report)))
    if report.reference.predictions and report.recent.predictions:
        sections.append(("Predictions", _predictions(report)))
    if pictures := _pictures(report):
        sections.append(("Least like the training images", pictures))
    sections.append(("How to read this", _how(report)))
    keys = [f"part-{number}" for number in range(len(sections))]
    contents = "".join(
        f'<li><a href="#{key}">{title}<span></span></a></li>'
        for key, (title, _) in zip(keys, sections, strict=True)
    )
    body = "".join(
        f'<section id="{key}"><h2>{title}</h2>{inside}</section>\n'
        for key, (title, inside) in zip(keys, sections, strict=True)
    )
    name = escape(report.dataset)
    model = f" Model: {escape(report.model)}." if report.model else ""
    page = (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{name}: recent images</title>\n<style>{STYLE}{_STYLE}</style>\n</head>\n<body>\n"
        '<a class="skip" href="#main">To the content</a>\n<div class="frame">\n'
        f'<nav aria-label="On this page"><h2>On this page</h2><ol>{contents}</ol></nav>\n<main id="main">\n'
        f"<h1>{name}: recent images</h1>\n<p>{escape(report.source)}.{model} "
        f"Features of {escape(report.backbone)}.</p>\n"
        f'<p class="verdict {"bad" if report.drift else ""}">{escape(in_words(report))}</p>\n'
        f"{body}</main>\n</div>\n</body>\n</html>\n"
    )
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".partial")
    partial.write_text(page, encoding="utf-8")
    partial.replace(target)


def _checks(report: DriftReport) -> str:
    number = '<th class="number">'
    head = (
        f"<tr><th>Check</th><th>Result</th><th>What was seen</th>{number}p</th>{number}p, all together</th>"
        f"{number}Size</th>{number}Counts from</th>{number}Training</th>{number}Recent</th><th>Test</th></tr>"
    )
    rows = "".join(_row(check) for check in report.checks)
    skipped = "".join(
        f"<p>Not compared: {escape(name)}, {escape(why.rstrip('.'))}.</p>"
        for name, why in report.skipped.items()
    )
    return f'<div class="scroll" tabindex="0"><table><thead>{head}</thead><tbody>{rows}</tbody></table></div>{skipped}'


def _row(check: Check) -> str:
    result = '<td class="bad">drift</td>' if check.drift else '<td class="good">none</td>'
    cells = (
        f"{check.p_value:.2g}",
        f"{check.adjusted:.2g}",
        f"{check.effect:.3f}",
        f"{check.least_effect:g}",
        f"{check.reference:,}",
        f"{check.recent:,}",
    )
    numbers = "".join(f'<td class="number">{cell}</td>' for cell in cells)
    return (
        f"<tr><td><b>{check.name}</b></td>{result}<td>{escape(check.words)}</td>{numbers}"
        f"<td>{escape(check.test)}</td></tr>"
    )


def _figures(report: DriftReport) -> str:
    drawn = "".join(
        two_histograms(
            report.reference.figures[name],
            report.recent.figures[name],
            _UNITS[name],
            logarithmic=name == "sharpness",
        )
        for name in FIGURES
    )
    return f'{_legend("training images")}<div class="side-by-side">{drawn}</div>'


def _predictions(report: DriftReport) -> str:
    first, second = report.reference.predictions, report.recent.predictions
    assert first is not None
    assert second is not None
    shares = class_shares(list(first.labels), list(second.labels))
    confidence = two_histograms(
        first.confidence, second.confidence, "confidence: probability of the best class"
    )
    return f'{_legend(first.images)}<div class="side-by-side">{shares}{confidence}</div>'


def _legend(images: str) -> str:
    return (
        f'<ul class="legend"><li><i class="training"></i>{escape(images)}</li>'
        '<li><i class="recent"></i>recent images</li></ul>'
    )


def _pictures(report: DriftReport) -> str:
    shown = "".join(
        f'<figure><span class="picture"><img src="{_data_uri(pixels)}" alt="{escape(name)}"></span>'
        f"<figcaption><code>{escape(Path(name).name)}</code></figcaption></figure>"
        for name, pixels in least_alike(report, MAX_PICTURES)
    )
    if not shown:
        return ""
    return (
        "<p>By the cosine of their features with those of the nearest training image; as the network sees them.</p>"
        f'<div class="pictures">{shown}</div>'
    )


def _how(report: DriftReport) -> str:
    return (
        "<p>Each check compares two samples. <b>p</b> is how often chance alone makes a difference as large; "
        f"<b>all together</b> allows for there being several checks (Holm 1979) and must be at most {report.alpha:g}. "
        "<b>Size</b> does not depend on the number of images and must be at least what is in the column after it: "
        "for figures and confidence, the largest gap between the shares of images up to any one value; for classes, "
        "the share of images that would have to change class; for the embedding, the distance of the means in "
        "standard deviations.</p><p>Of images that nearly repeat each other one stands for all. Images that belong "
        "together otherwise, such as those of one scene from several sides, are not known to: then p is too small. "
        "Predictions are compared with those of validation images, of which the model is no more certain than of "
        "new ones.</p>"
    )


def _data_uri(pixels: np.ndarray) -> str:
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"
