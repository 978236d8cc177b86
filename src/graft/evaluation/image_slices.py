"""Accuracy of a model on slices of the test images: by brightness, sharpness, size, or any column of a table."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from graft.core.html.html_page import figure
from graft.evaluation.intervals import CONFIDENCE, Interval, number_of_groups, share_interval

if TYPE_CHECKING:
    import pandas as pd

# Slices of a column of numbers, of about as many images each; a column of few different values is sliced by value.
QUANTILES = 4
MOST_VALUES = 20
LEAST_IMAGES = 10


@dataclass(frozen=True)
class Slice:
    """The images of one slice.

    Attributes:
        column: what they are sliced by.
        values: of the slice, in words.
        images, groups: numbers of them.
        accuracy: share of images that are right, 0..1.
        interval: of it; those of all slices hold together at 95 % (Bonferroni), as the worst is picked among them.
    """

    column: str
    values: str
    images: int
    groups: int
    accuracy: float
    interval: Interval


def slices(is_right: np.ndarray, columns: pd.DataFrame, groups: np.ndarray) -> list[Slice]:
    """Return the slices of each column, the worst first.

    Slices of fewer than ten images say nothing and are left out, as is a column that has one slice.

    Args:
        is_right: bool ``[N]``.
        columns: of the images, in order; numbers are cut at quartiles, other values are slices by themselves.
        groups: of each image, any values ``[N]``.
    """
    parts = [
        (str(column), words, rows)
        for column in columns
        for words, rows in _parts(columns[column])
        if rows.sum() >= LEAST_IMAGES
    ]
    counts = {column: sum(one == column for one, _, _ in parts) for column, _, _ in parts}
    parts = [part for part in parts if counts[part[0]] > 1]
    confidence = 1 - (1 - CONFIDENCE) / max(len(parts), 1)
    found = [
        Slice(
            column,
            words,
            int(rows.sum()),
            number_of_groups(groups[rows]),
            float(is_right[rows].mean()),
            share_interval(is_right[rows], groups[rows], confidence),
        )
        for column, words, rows in parts
    ]
    return sorted(found, key=lambda one: (one.accuracy, -one.images))


def _parts(values: pd.Series) -> list[tuple[str, np.ndarray]]:
    """Return the slices of a column, in words, and of each the images that are in it, bool ``[N]``."""
    from pandas.api.types import is_numeric_dtype

    different = values.dropna().unique()
    if not is_numeric_dtype(values) or len(different) <= QUANTILES:
        if len(different) > MOST_VALUES:
            return []
        return [(str(value), (values == value).to_numpy(bool)) for value in sorted(different, key=str)]
    edges = np.unique(np.nanquantile(values.to_numpy(np.float64), np.linspace(0, 1, QUANTILES + 1)))
    numbers = values.to_numpy(np.float64)
    parts = []
    for index, (low, high) in enumerate(pairwise(edges)):
        is_last = index == len(edges) - 2
        rows = (numbers >= low) & ((numbers <= high) if is_last else (numbers < high))
        parts.append((f"{figure(low)} to {figure(high)}", rows))
    return parts
