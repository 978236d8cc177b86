"""Pictures for people, as PNG files of a bounded size: confusion matrices and learning curves.

A picture only illustrates: where one cannot be drawn, that is said, and nothing else fails.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from graft.core.illustration import DPI, illustration, new_figure

if TYPE_CHECKING:
    import pandas as pd

# Counts are legible in the cells up to about this many classes; beyond, the colours carry the picture.
MAX_CLASSES_WITH_NUMBERS = 20
# Names are legible beside the cells up to about this many. Of more, those in the most errors are drawn.
MAX_CLASSES = 60
# Of one matrix, in inches: with two of them and DPI, a picture has at most 3,672 x 1,800 pixels.
MAX_SIDE = 15.0
MAX_NAME = 30


@illustration
def confusion_picture(path: Path, confusion: np.ndarray, classes: Sequence[str], title: str) -> None:
    """Draw counts and, beside them, the share of each actual class.

    Args:
        confusion: counts ``[C, C]``, row: actual class. Of more than :data:`MAX_CLASSES` classes, those in the most
            errors are drawn; shares are of all images of a class all the same.
    """
    chosen = _most_confused(confusion)
    side = min(max(3.6, 0.45 * len(chosen) + 1.5), MAX_SIDE)
    figure = new_figure(2 * side + 0.6, side)
    left, right = figure.subplots(1, 2)
    shares = _shares(confusion)
    _draw_matrix(left, confusion, shares, classes, chosen, "{:d}")
    left.set_title("counts", fontsize=10)
    _draw_matrix(right, shares, shares, classes, chosen, "{:.2f}")
    right.set_title("share of the actual class", fontsize=10)
    if len(chosen) < len(classes):
        title = f"{title}: the {len(chosen)} of {len(classes):,} classes in the most errors"
    figure.suptitle(title, fontsize=11, parse_math=False)
    figure.savefig(path, dpi=DPI)


@illustration
def confusion_thumbnail(path: Path, confusion: np.ndarray, classes: Sequence[str]) -> None:
    """Draw the counts alone, legible in 256 x 256 pixels: the size that MLflow's charts show images in."""
    figure = new_figure(2.56, 2.56)
    chosen = _most_confused(confusion)
    _draw_matrix(figure.subplots(), confusion, _shares(confusion), classes, chosen, "{:d}", is_small=True)
    figure.savefig(path, dpi=100)


def _shares(confusion: np.ndarray) -> np.ndarray:
    return np.asarray(confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1))


def _most_confused(confusion: np.ndarray) -> np.ndarray:
    """Return the indices of the classes to draw, rising: those with the most errors, made of them or into them."""
    errors = confusion.sum(axis=0) + confusion.sum(axis=1) - 2 * confusion.diagonal()
    return np.sort(np.argsort(-errors, kind="stable")[:MAX_CLASSES])


def _draw_matrix(
    axes: Any,
    matrix: np.ndarray,
    shares: np.ndarray,
    classes: Sequence[str],
    chosen: np.ndarray,
    form: str,
    is_small: bool = False,
) -> None:
    matrix, shares = matrix[np.ix_(chosen, chosen)], shares[np.ix_(chosen, chosen)]
    has_numbers = len(chosen) <= MAX_CLASSES_WITH_NUMBERS
    # Colour follows the share also where counts are written, so that a rare class is as readable as a common one.
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    names = [_short(classes[index], MAX_NAME // 2 if is_small else MAX_NAME) for index in chosen]
    if is_small and not has_numbers:
        names = []  # of which no letter could be read
    # A class may be called $x$, which Matplotlib would set as a formula, or fail to.
    options = {"fontsize": 10 if len(names) <= 30 else 7, "parse_math": False}
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor", **options)
    axes.set_yticks(range(len(names)), names, **options)
    axes.set_xlabel("predicted")
    axes.set_ylabel("actual")
    if has_numbers:
        for (row, column), value in np.ndenumerate(matrix):
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, form.format(value), ha="center", va="center", color=colour, fontsize=9)


def _short(name: str, most: int) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"


@illustration
def threshold_picture(path: Path, tables: Mapping[str, pd.DataFrame], title: str) -> None:
    """Draw the curves of one model side by side, of :func:`graft.evaluation.threshold_curves.curve_tables`."""
    figure = new_figure(13, 3.4)
    for axes, (name, table) in zip(figure.subplots(1, len(tables)), tables.items(), strict=True):
        x, y = table.columns[:2]
        axes.plot(table[x], table[y], marker="o" if name == "reliability" else "")
        if name == "reliability":
            axes.plot([0, 1], [0, 1], color="grey", linestyle=":")
        axes.set_xlabel(x.replace("_", " "))
        axes.set_title(name.replace("_", " "), fontsize=10)
        axes.set_ylim(-0.02, 1.02)
        axes.grid(alpha=0.3)
    figure.suptitle(_short(title, 100), fontsize=11, parse_math=False)
    figure.savefig(path, dpi=DPI)


@illustration
def learning_curves_picture(path: Path, epochs: pd.DataFrame, best_epoch: int, title: str) -> None:
    """Draw log loss and accuracy by epoch, or by penalty where these were tried, and mark the best one."""
    figure = new_figure(9, 3.4)
    is_by_penalty = "penalty" in epochs
    x = epochs["penalty"] if is_by_penalty else epochs["epoch"] + 1
    lines = [("train", "", "tab:blue"), ("validation", "val_", "tab:orange")]
    if is_by_penalty:
        lines.append(("out of fold", "out_of_fold_", "tab:green"))
    for axes, metric in zip(figure.subplots(1, 2), ("log_loss", "accuracy"), strict=True):
        for label, prefix, colour in lines:
            axes.plot(x, epochs[prefix + metric], label=label, color=colour)
        axes.axvline(x.iloc[best_epoch], color="grey", linestyle=":", label="kept")
        axes.set_xlabel("penalty" if is_by_penalty else "epoch")
        if is_by_penalty:
            axes.set_xscale("log")
        axes.set_title(metric.replace("_", " "), fontsize=10)
        axes.grid(alpha=0.3)
    figure.axes[0].legend()
    figure.suptitle(_short(title, 100), fontsize=11, parse_math=False)
    figure.savefig(path, dpi=DPI)
