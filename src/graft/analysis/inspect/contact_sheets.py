"""Contact sheets: a few images of every class, taken evenly, so that a class is seen at a glance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from graft.analysis.inspect.inspect_report import Picture
from graft.analysis.inspect.similar_pairs import pictures

if TYPE_CHECKING:
    import pandas as pd

PER_CLASS = 24
# Of all sheets: forty classes get a full one, two hundred get 4 images each.
IN_ALL = 960


def contact_sheets(images: pd.DataFrame, per_class: int = PER_CLASS, in_all: int = IN_ALL) -> dict[str, list[Picture]]:
    """Return images of each class by label, evenly spaced in the order of the manifest.

    So they come from all folders and films of a class. With very many classes each gets one image, and classes after
    the first ``in_all`` get none.

    Args:
        per_class: images of one class at most.
        in_all: images of all classes together at most.
    """
    labels = sorted(images["label"].unique())
    count = min(per_class, max(in_all // max(len(labels), 1), 1))
    rows = images.groupby("label").indices
    sheets = {}
    for label in labels[:in_all]:
        positions = np.asarray(rows[label])
        chosen = positions[_evenly(len(positions), count)]
        sheets[label] = pictures(images.take(chosen))
    return sheets


def _evenly(total: int, count: int) -> np.ndarray:
    """Return ``count`` numbers below ``total`` (all, if there are fewer), evenly spaced, first and last among them."""
    return np.unique(np.linspace(0, total - 1, min(total, count)).round().astype(int))
