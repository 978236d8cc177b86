"""Pictures for people: confusion matrices and learning curves, as PNG files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

DPI = 120
# Counts are legible in the cells up to about this many classes; beyond, the colours carry the picture.
MAX_CLASSES_WITH_NUMBERS = 20


def _new_figure(width: float, height: float) -> Figure:
    # Figure without pyplot: no window system, no global state, safe in any thread.
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def confusion_picture(confusion: np.ndarray, classes: Sequence[str], title: str, path: Path) -> None:
    """Draws counts and, beside them, the share of each actual class (rows sum to 1)."""
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    side = max(3.6, 0.45 * len(classes) + 1.5)
    figure = _new_figure(2 * side + 0.6, side)
    left, right = figure.subplots(1, 2)
    _draw_matrix(left, confusion, shares, classes, "{:d}")
    left.set_title("counts", fontsize=10)
    _draw_matrix(right, shares, shares, classes, "{:.2f}")
    right.set_title("share of the actual class", fontsize=10)
    figure.suptitle(title, fontsize=11)
    figure.savefig(path, dpi=DPI)


def confusion_thumbnail(confusion: np.ndarray, classes: Sequence[str], path: Path) -> None:
    """Draws the counts alone, legible in 256 x 256 pixels: the size that MLflow's charts show images in."""
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    figure = _new_figure(2.56, 2.56)
    _draw_matrix(figure.subplots(), confusion, shares, classes, "{:d}")
    figure.savefig(path, dpi=100)


def _draw_matrix(
    axes: Any, matrix: np.ndarray, shares: np.ndarray, classes: Sequence[str], form: str
) -> None:
    # Colour follows the share also where counts are written, so that a rare class is as readable as a common one.
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(classes)), classes, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(classes)), classes)
    axes.set_xlabel("predicted")
    axes.set_ylabel("actual")
    if len(classes) <= MAX_CLASSES_WITH_NUMBERS:
        for (row, column), value in np.ndenumerate(matrix):
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, form.format(value), ha="center", va="center", color=colour, fontsize=9)


def learning_curves_picture(epochs: pd.DataFrame, best_epoch: int, title: str, path: Path) -> None:
    """Draws log loss and accuracy of training and validation by epoch, and marks the epoch that was kept."""
    figure = _new_figure(9, 3.4)
    x = epochs["epoch"] + 1
    for axes, metric in zip(figure.subplots(1, 2), ("log_loss", "accuracy"), strict=True):
        axes.plot(x, epochs[metric], label="train", color="tab:blue")
        axes.plot(x, epochs[f"val_{metric}"], label="validation", color="tab:orange")
        axes.axvline(best_epoch + 1, color="grey", linestyle=":", label="kept")
        axes.set_xlabel("epoch")
        axes.set_title(metric.replace("_", " "), fontsize=10)
        axes.grid(alpha=0.3)
    figure.axes[0].legend()
    figure.suptitle(title, fontsize=11)
    figure.savefig(path, dpi=DPI)
