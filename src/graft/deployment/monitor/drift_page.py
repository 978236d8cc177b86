"""The page of a comparison: one HTML file that holds its own pictures and style, and opens without a network."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from graft.core.files import make_private_folder, write_file
from graft.core.html.charts import BarLine, BarPart, BarRow, Drawing, histogram
from graft.core.html.html_page import PageSection, ShownPicture, render, sections_by_key
from graft.deployment.monitor.log_samples import FIGURES, ModelPredictions
from graft.deployment.monitor.monitor_predictions import DriftReport, least_alike

# Pictures of recent images that are least like the training images.
MAX_PICTURES = 24

# Of the classes whose shares changed most.
MAX_CLASSES = 20
# Links to earlier pages.
MAX_EARLIER = 30
LATEST = "report.html"

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
            f"A camera that is stuck, or covered, looks like that.{broken}{also} {report.champion}"
        ).strip()
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
        f"Where nothing has changed, this says drift once in {1 / report.alpha:,.0f} times at most. {report.champion}"
    ).strip()


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
    first, second = report.reference.predictions, report.recent.predictions
    both = first is not None and second is not None
    pictures = [
        (ShownPicture(name, uri=_data_uri(pixels), alt=name), Path(name).name)
        for name, pixels in least_alike(report, MAX_PICTURES)
    ]
    sections = {
        "checks": ("Checks", True),
        "figures": ("Figures", len(report.recent) > 0),
        "predictions": ("Predictions", both),
        "pictures": ("Least like the training images", bool(pictures)),
        "how": ("How to read this", True),
        "earlier": ("Earlier comparisons", bool(earlier)),
    }
    title = f"{report.dataset}: recent images"
    return render(
        "deployment/monitor/drift.html",
        title=f"{title}, {report.at:%Y-%m-%d}",
        sections=sections_by_key(PageSection(key, name) for key, (name, shown) in sections.items() if shown),
        heading=title,
        report=report,
        words=in_words(report),
        figures=_figures(report),
        images=first.images if first is not None else "",
        predictions=_predictions(first, second) if first is not None and second is not None else None,
        pictures=pictures,
        earlier=[
            (page.name, f"{page.name[:10]} {page.name[11:13]}:{page.name[13:15]} UTC") for page in earlier[:MAX_EARLIER]
        ],
    )


def _figures(report: DriftReport) -> list[Drawing]:
    if not len(report.recent):
        return []
    reference, recent = report.reference.figures, report.recent.figures
    return [
        histogram(reference[name], _UNITS[name], logarithmic=name == "sharpness", recent=recent[name])
        for name in FIGURES
    ]


def _predictions(first: ModelPredictions, second: ModelPredictions) -> tuple[list[BarRow], Drawing]:
    """Return the shares of predicted classes, and how the confidence is spread."""
    title = "confidence: probability of the best class"
    return _class_shares(first.labels, second.labels), histogram(first.confidence, title, recent=second.confidence)


def _class_shares(first: np.ndarray, second: np.ndarray) -> list[BarRow]:
    """Return how large a share of its images each class is predicted for: above training's, below the recent one.

    Of very many classes, those whose shares changed most.
    """
    found = [
        (name, float((first == name).mean()), float((second == name).mean()))
        for name in np.union1d(first, second).tolist()
    ]
    changed = sorted(found, key=lambda one: -abs(one[1] - one[2]))[:MAX_CLASSES]
    most = max(max(one[1:]) for one in changed)
    return [
        BarRow(
            name,
            [
                BarLine([BarPart(kind, share / most)], f"{share:.1%}")
                for share, kind in zip(shares, ("training", "recent"), strict=True)
            ],
        )
        for name, *shares in sorted(changed)
    ]


def _data_uri(pixels: np.ndarray) -> str:
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"
