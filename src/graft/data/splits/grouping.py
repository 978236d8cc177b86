"""Group images that belong together: frames of one hand, of one track, of one patient, near-duplicates.

A group is a name; an image without one is a group by itself, called by the SHA-256 of its bytes, so that exact
copies are a group too. Where group names come from is decided here and nowhere else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from graft.core.errors import GraftError
from graft.data.splits.numbered_images import mapped

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Grouping:
    """The group of every image.

    Attributes:
        keys: one per image, with the index of the images.
        unmatched: paths of images that ``group_by`` gives no group, so that each is a group by itself, sorted.
            Empty where every image is meant to be one.
    """

    keys: pd.Series
    unmatched: pd.Series


def group_images(images: pd.DataFrame, group_by: str) -> Grouping:
    """Return the groups of images (columns path, sha256 and, for ``column``, group).

    Args:
        group_by: ``none``, ``column``, ``near_duplicates``, or a regular expression, as ``split.group_by`` in
            params.yaml takes it.

    Raises:
        GraftError: the column is not there or is empty throughout, or the expression fits no path.
    """
    if group_by in ("none", "near_duplicates"):  # those are joined later, by name
        return Grouping(images["sha256"], images["path"].iloc[:0])
    if group_by == "column":
        return _by_column(images)
    pattern = re.compile(group_by)
    group: str | int = "group" if "group" in pattern.groupindex else 1

    def captured(path: str) -> str:
        match = pattern.search(path)
        return (match[group] or "") if match else ""

    grouping = _fill_in(images, mapped(images["path"], captured))
    if len(grouping.unmatched) == len(images):
        raise GraftError(
            f"split.group_by {group_by!r} finds a group in none of the {len(images)} paths in data/, for example "
            f"not in {images['path'].iloc[0]}",
            "Write an expression that captures the group in parentheses, as '(.+)-[0-9]+' does in "
            "paper/paper01-000.png, or set split.group_by to none",
        )
    return grouping


def joined(*groupings: np.ndarray) -> np.ndarray:
    """Return the finest grouping that tears no group of any of ``groupings`` apart.

    Args:
        groupings: any values, ``[N]`` each; equal values of one grouping are one group.

    Returns:
        Group numbers, int ``[N]``.
    """
    import pandas as pd
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    count = len(groupings[0])
    # A graph of images and groups: images are connected by the groups that they share.
    rows, columns, nodes = [], [], count
    for grouping in groupings:
        codes, names = pd.factorize(grouping)
        rows.append(np.arange(count))
        columns.append(nodes + codes)
        nodes += len(names)
    ends = (np.concatenate(rows), np.concatenate(columns))
    graph = coo_matrix((np.ones(len(ends[0]), bool), ends), shape=(nodes, nodes))
    return connected_components(graph, directed=False)[1][:count]


def _by_column(images: pd.DataFrame) -> Grouping:
    if "group" not in images or not (images["group"].fillna("") != "").any():
        raise GraftError(
            "split.group_by is 'column', but the data brings no groups of its own",
            "Import a table with the column group, or set split.group_by to none or to a regular expression over "
            "the path",
        )
    return _fill_in(images, images["group"].fillna(""))


def _fill_in(images: pd.DataFrame, named: pd.Series) -> Grouping:
    alone = named == ""
    if not alone.any():
        return Grouping(named, images["path"].iloc[:0])
    return Grouping(named.mask(alone, images["sha256"]), images.loc[alone, "path"].sort_values())
