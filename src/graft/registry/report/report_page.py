"""The report as one HTML page that holds all it shows, opens without a network, and prints."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np

from graft.analysis.choose.chosen_values import settings_in_words
from graft.core.html.charts import class_bars
from graft.core.html.curve_charts import Curve, unit_curves
from graft.core.html.html_page import PageSection, figure, render, sections_by_key
from graft.core.project import SPLITS
from graft.evaluation.comparison import Comparison
from graft.evaluation.headline import Figure
from graft.evaluation.threshold_curves import POINTS, coverage, mean_curve, precision_curves, reliability, roc_curves
from graft.registry.report.limits import limits
from graft.registry.report.model_facts import ModelFacts
from graft.registry.report.project_facts import HASH_DIGITS, ProjectFacts
from graft.registry.report.report_pictures import ReportGallery

# Rows of a table and bars of a chart, at most; `graft compare` and the files beside have all.
MOST_CLASSES, MOST_SLICES = 40, 12
# Of a matrix that a phone shows whole.
_MATRIX_CLASSES = 10
# Of `graft robustness`.
_POINTS = 100


def report_page(
    project: ProjectFacts,
    model: ModelFacts,
    shown: list[ReportGallery],
    pairs: list[ReportGallery],
    no_heat: str = "",
    made: datetime | None = None,
) -> str:
    """Return the page.

    Args:
        shown, pairs: the galleries of mistakes, and of confused pairs.
        no_heat: why there are no heat maps; "" where there are.
        made: when; by default now.
    """
    sections = [
        PageSection("data", "The photographs", sum(project.counts.values())),
        PageSection("split", "The split and its verdict"),
        PageSection("tried", "What was tried", len(project.tried) or None),
        PageSection("compared", "Models compared", len(model.headlines)),
        PageSection("mistakes", "What it gets wrong", model.mistakes.wrong),
        PageSection("classes", "Class by class", len(model.classes)),
        PageSection("certainty", "How far to believe it"),
        PageSection("where", "Where it is worse"),
        PageSection("limits", "What it must not be used for"),
        PageSection("time", "Where the time went"),
        PageSection("again", "How to make it again"),
    ]
    return render(
        "registry/report/report.html",
        title=f"{project.dataset}: report on {model.name}",
        sections=sections_by_key(sections),
        project=project,
        model=model,
        version=model_version(model),
        made=made or datetime.now(UTC),
        splits=SPLITS,
        tiles=_tiles(model),
        settings=settings_in_words(model.settings),
        digits=HASH_DIGITS,
        bars=class_bars(project.classes, SPLITS, MOST_CLASSES),
        compared=_compared(model),
        differences=_differences(model),
        galleries=shown,
        pairs=pairs,
        no_heat=no_heat,
        per_class=_per_class(model),
        matrix=matrix(model),
        curves=_curves(model),
        slices=[
            (one.column, one.values, one.images, in_words("accuracy", Figure(one.accuracy, one.interval)))
            for one in [one for one in model.slices if one.column != "label"][:MOST_SLICES]
        ],
        robustness=_robust_rows(model.robustness),
        limits=limits(project, model),
    )


def model_version(model: ModelFacts) -> str:
    """Return the model as the registry calls it, else its own name."""
    known = model.registered
    return f"{known['model']} version {known['version']}" if known else model.name


def in_words(name: str, one: Figure) -> str:
    """Return a figure with its interval: accuracy in per cent, others as they are."""
    factor, digits, sign = (100, 1, " %") if name == "accuracy" else (1, 3, "")
    text = f"{factor * one.value:.{digits}f}{sign}"
    if one.interval is None:
        return text
    return f"{text} [{factor * one.interval.low:.{digits}f}, {factor * one.interval.high:.{digits}f}]"


def _tiles(model: ModelFacts) -> list[tuple[str, str, str, str]]:
    """Return what the page says first: the section a figure leads to, the figure, its words, and how bad it is."""
    headline = model.headlines[model.name].figures
    accuracy, interval = headline["accuracy"], headline["accuracy"].interval
    ends = f", 95 % sure of {100 * interval.low:.1f} to {100 * interval.high:.1f}" if interval else ""
    suspects = len(model.suspects)
    return [
        ("compared", f"{100 * accuracy.value:.1f} %", f"of test images right{ends}", ""),
        ("mistakes", f"{model.mistakes.wrong:,}", f"of {len(model.labels):,} test images wrong", ""),
        ("classes", f"{headline['macro_f1'].value:.3f}", "macro-F1: every class counts the same", ""),
        ("certainty", f"{model.figures['calibration_error']:.3f}", "off on average are its probabilities", ""),
        ("mistakes", f"{suspects:,}", "test labels that may be wrong", "warn" if suspects else ""),
    ]


def _compared(model: ModelFacts) -> list[tuple[str, ...]]:
    """Return a row for each model: name, test figures, and log loss on validation, which chooses."""
    rows = []
    for name, headline in model.headlines.items():
        figures = [in_words(key, one) for key, one in headline.figures.items()]
        rows.append((name, *figures, f"{model.validation[name]['log_loss']:.4f}"))
    return rows


def _differences(model: ModelFacts) -> list[tuple[str, ...]]:
    if model.comparison is None:
        return []
    return [
        (
            one.name,
            points_in_words(one.comparison),
            f"{one.log_loss:+.3f} [{one.log_loss_interval.low:+.3f}, {one.log_loss_interval.high:+.3f}]",
            str(one.comparison.only_candidate_right),
            str(one.comparison.only_champion_right),
            one.comparison.answer,
        )
        for one in model.comparison.differences
    ]


def points_in_words(found: Comparison) -> str:
    """Return a difference in accuracy in points with its interval."""
    return f"{100 * found.difference:+.1f} [{100 * found.low:+.1f}, {100 * found.high:+.1f}]"


def _per_class(model: ModelFacts) -> list[tuple[str, ...]]:
    """Return a row for each class, those of the least recall first; NaN, of a class without images, last."""
    table = model.per_class.sort_values(["recall", "class"])
    rows: list[tuple[str, ...]] = []
    for row in table.to_dict("records")[:MOST_CLASSES]:
        recall = f"{100 * row['recall']:.1f} [{100 * row['recall_low']:.1f}, {100 * row['recall_high']:.1f}]"
        precision = f"{100 * row['precision']:.1f}"
        rows.append((str(row["class"]), f"{row['support']:,.0f}", recall, precision, f"{row['f1']:.3f}"))
    return rows


def matrix(model: ModelFacts) -> list[tuple[str, list[tuple[int, float]]]]:
    """Return a row of counts and shares for each right class; none where there are too many classes for a phone."""
    size = len(model.classes)
    if size > _MATRIX_CLASSES:
        return []
    counts = np.zeros((size, size), int)
    np.add.at(counts, (model.labels, model.probabilities.argmax(axis=1)), 1)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return [
        (name, list(zip(row.tolist(), share.tolist(), strict=True)))
        for name, row, share in zip(model.classes, counts, shares, strict=True)
    ]


def _curves(model: ModelFacts) -> list[tuple[str, Any, list[str]]]:
    """Return drawings with what stands below each, and the names of their lines."""
    labels, probabilities = model.labels, model.probabilities
    found = reliability(labels, probabilities)
    columns = {name: found[name].to_numpy() for name in found.columns}
    is_true = [Curve("Share that is right", columns["confidence"], columns["right"], columns["low"], columns["high"])]
    grid = np.linspace(0, 1, POINTS)
    above, right = coverage(labels, probabilities)
    has_some = ~np.isnan(right)
    hits, precise = roc_curves(labels, probabilities), precision_curves(labels, probabilities)
    names = ["mean of classes"]
    roc, precision = [Curve(names[0], grid, mean_curve(hits))], [Curve(names[0], grid, mean_curve(precise))]
    if len(model.classes) > 2:
        # The classes that are told apart worst.
        areas = np.nan_to_num(precise.mean(axis=1), nan=np.inf)
        for index in np.argsort(areas, kind="stable")[:3].tolist():
            if np.isfinite(areas[index]):
                names.append(model.classes[index])
                roc.append(Curve(model.classes[index], grid, hits[index]))
                precision.append(Curve(model.classes[index], grid, precise[index]))
    return [
        (
            "Of images with about the same probability, the share that is right; bars are 95 % intervals. On the "
            "dashed line probabilities are true.",
            unit_curves("Reliability", "probability it gives", "share that is right", is_true, diagonal=True),
            [],
        ),
        (
            "Answers below a threshold left to a person: the share it still answers, and how many of these are right.",
            unit_curves(
                "Share answered and share right by threshold",
                "threshold of the probability",
                "share of images",
                [Curve("answered", grid, above), Curve("right of these", grid[has_some], right[has_some])],
            ),
            ["answered", "right of these"],
        ),
        (
            "ROC: of a class's images the share found, by the share of others that is taken for it.",
            unit_curves("ROC curves", "false-positive rate", "true-positive rate", roc),
            names,
        ),
        (
            "Of what it takes for a class the share that is one, by the share of the class's images found.",
            unit_curves("Precision by recall", "recall", "precision", precision),
            names,
        ),
    ]


def _robust_rows(found: dict[str, Any] | None) -> list[tuple[str, ...]]:
    """Return a row for each kind of change: accuracy at severities 1 to 5 in per cent."""
    kinds: dict[str, list[str]] = {}
    for row in (found or {}).get("rows", [])[1:]:
        kinds.setdefault(row["kind"], []).append(figure(_POINTS * row["accuracy"]))
    return [(kind, *values) for kind, values in kinds.items()]
