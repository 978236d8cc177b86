"""The page of a comparison: one HTML file that holds its own pictures and style, and opens without a network."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from datetime import datetime
from html import escape
from pathlib import Path

import numpy as np

from graft.analysis.inspect.charts import histogram
from graft.core.files import make_private_folder, write_file
from graft.core.html.html_page import PageSection, html_page
from graft.deployment.monitor.checks import Check
from graft.deployment.monitor.log_samples import FIGURES
from graft.deployment.monitor.monitor_predictions import DriftReport, least_alike

# Pictures of recent images that are least like the training images.
MAX_PICTURES = 24

# Of the classes whose shares changed most.
MAX_CLASSES = 20
# Links to earlier pages.
MAX_EARLIER = 30
LATEST = "report.html"

# Below the width at which the page's contents stand beside it, each row of the table becomes a list.
_STYLE = """
.legend .training { background: var(--train); } svg .split-all { fill-opacity: .45; }
svg .recent { fill: none; stroke: var(--test); stroke-width: 2.5; }
.legend .recent, .bars .recent { background: var(--test); } .legend .training, .bars .training { opacity: .6; }
.bars i { height: .7rem; } .bars li { row-gap: 0; }
.verdict { font-size: 1.15rem; padding: .9rem 1.1rem; border-radius: .7rem; background: var(--card);
  border: 1px solid var(--line); } .verdict.bad { background: var(--bad-paper); color: var(--bad); }
.checks { width: 100%; } .checks small { display: block; color: var(--soft); } .checks td { vertical-align: top;
  overflow-wrap: anywhere; } .checks .number { white-space: nowrap; } .checks tr > :last-child { padding-right: 0; }
.checks b.bad { color: var(--bad); } .checks .good { color: var(--good); }
@media (max-width: 61.99rem) { .checks thead { display: none; } .checks tr { display: block; padding: .6rem 0;
  border-bottom: 1px solid var(--line); } .checks td { display: flex; justify-content: space-between; gap: 1.5rem;
  border: 0; padding: .15rem 0; text-align: right; } .checks td::before { content: attr(data-title);
  color: var(--soft); text-align: left; flex: none; } }
"""
_COLUMNS = (
    *(("Check", ""), ("Result", ""), ("What was seen", "")),
    *(("p, all together", "number"), ("Size", "number"), ("Recent images", "number")),
)
_UNITS = {
    "brightness": "brightness: mean luma, 0 black to 1 white",
    "sharpness": "sharpness: Laplacian's variance, logarithmic",
    "width": "width in pixels",
    "height": "height in pixels",
}


def in_words(report: DriftReport) -> str:
    """Return what was found, in a sentence or two, with how many images there were and how many were compared."""
    recent = report.recent
    found = [check.name for check in report.checks if check.drift]
    broken = f" {recent.unreadable:,} more cannot be read." if recent.unreadable else ""
    if report.stuck:
        also = f" Drift in {', '.join(found)} too." if found else ""
        return (
            f"Drift: of {recent.readable:,} recent images, all but {len(recent):,} nearly repeat another one. "
            f"A camera that is stuck, or covered, looks like that.{broken}{also}"
        )
    verdict = f"Drift in {', '.join(found)}" if found else f"No drift in {len(report.checks)} checks"
    left_out = [
        f"{count:,} {words}"
        for count, words in (
            (recent.unreadable, "unreadable"),
            (recent.repeats, "repeats"),
            (recent.passed_over, "not looked at"),
        )
        if count
    ]
    rest = f" (left out: {', '.join(left_out)})" if left_out else ""
    return (
        f"{verdict}: {len(recent):,} of {recent.seen + recent.passed_over:,} recent images{rest}, against "
        f"{len(report.reference):,} of training. "
        f"Where nothing has changed, this says drift once in {1 / report.alpha:,.0f} times at most."
    )


def write_page(folder: Path, report: DriftReport) -> Path:
    """Write the page of a comparison under its time, and again as the latest one; their owner alone can read them.

    Args:
        folder: of all pages; made where it is missing.

    Returns:
        The page that stays: ``<folder>/<time>.html``. :data:`LATEST` beside it is the same until the next one.
    """
    page = folder / f"{report.at:%Y-%m-%dT%H%M%S-%f}.html"
    html = _html(report, sorted(folder.glob("*T*-*.html"), reverse=True))
    make_private_folder(folder)  # the pages show photographs
    write_file(page, html, private=True)
    write_file(folder / LATEST, html, private=True)
    return page


def _html(report: DriftReport, earlier: Sequence[Path]) -> str:
    links = "".join(
        f'<li><a href="{page.name}">{page.name[:10]} {page.name[11:13]}:{page.name[13:15]} UTC</a></li>'
        for page in earlier[:MAX_EARLIER]
    )
    sections = [
        ("checks", "Checks", _checks(report)),
        ("figures", "Figures", _figures(report)),
        ("predictions", "Predictions", _predictions(report)),
        ("pictures", "Least like the training images", _pictures(report)),
        ("how", "How to read this", _how(report)),
        ("earlier", "Earlier comparisons", links and f"<ul>{links}</ul>"),
    ]
    model = f" Model: {escape(report.model)}." if report.model else ""
    period = report.recent.period
    logged = f": images logged from {_moment(period[0])} to {_moment(period[1])}" if period else ""
    title = f"{report.dataset}: recent images"
    heading = (
        f"<h1>{escape(title)}</h1>\n<p>Compared on {_moment(report.at)}{logged}. "
        f"{escape(report.source)}.{model} Features of {escape(report.backbone)}.</p>\n"
        f'<p class="verdict {"bad" if report.drift else ""}">{escape(in_words(report))}</p>'
    )
    shown = [PageSection(*section) for section in sections if section[-1]]
    return html_page(f"{title}, {report.at:%Y-%m-%d}", heading, shown, _STYLE)


def _moment(time: datetime) -> str:
    return f'<time datetime="{time.isoformat()}">{time:%d %B %Y, %H:%M} UTC</time>'


def _checks(report: DriftReport) -> str:
    head = "".join(f'<th class="{kind}">{title}</th>' for title, kind in _COLUMNS)
    rows = "".join(_row(check) for check in report.checks)
    skipped = "".join(
        f"<p>Not compared: {escape(name)}, {escape(why.rstrip('.'))}.</p>"
        for name, why in report.skipped.items()
    )
    return f'<table class="checks"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{skipped}'


def _row(check: Check) -> str:
    result = '<b class="bad">drift</b>' if check.drift else '<span class="good">none</span>'
    cells = (
        f"<span><b>{check.name}</b><small>{escape(check.test)}</small></span>",
        result,
        f"<span>{escape(check.words)}</span>",
        f"<span>{check.adjusted:.2g}<small>alone {check.p_value:.2g}</small></span>",
        f"<span>{check.effect:.3f}<small>counts from {check.least_effect:g}</small></span>",
        f"<span>{check.recent:,}<small>training {check.reference:,}</small></span>",
    )
    return "<tr>{}</tr>".format(
        "".join(
            f'<td class="{kind}" data-title="{title}">{cell}</td>'
            for (title, kind), cell in zip(_COLUMNS, cells, strict=True)
        )
    )


def _figures(report: DriftReport) -> str:
    if not len(report.recent):
        return ""
    drawn = "".join(
        histogram(
            report.reference.figures[name],
            _UNITS[name],
            logarithmic=name == "sharpness",
            recent=report.recent.figures[name],
        )
        for name in FIGURES
    )
    return f'{_legend("training images")}<div class="side-by-side">{drawn}</div>'


def _predictions(report: DriftReport) -> str:
    first, second = report.reference.predictions, report.recent.predictions
    if first is None or second is None:
        return ""
    shares = _class_shares(first.labels, second.labels)
    title = "confidence: probability of the best class"
    confidence = histogram(first.confidence, title, recent=second.confidence)
    return f'{_legend(first.images)}<div class="side-by-side">{shares}{confidence}</div>'


def _class_shares(first: np.ndarray, second: np.ndarray) -> str:
    """Return how large a share of its images each class is predicted for: above training's, below the recent one.

    Of very many classes, those whose shares changed most. Rows of HTML, so that long names keep their room.
    """
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
        "<b>all together</b>, it allows for there being several checks (Holm 1979) and must be at most "
        f"{report.alpha:g}. "
        "<b>Size</b> does not depend on the number of images and must be at least what stands below it: "
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
