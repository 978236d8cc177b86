"""Images that are the same picture, as groups: of equal bytes, or near-duplicates."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from graft.inspection.report import Alike, Picture

if TYPE_CHECKING:
    import pandas as pd


def pictures(images: pd.DataFrame) -> list[Picture]:
    """Rows of a manifest (columns path, label, split) as pictures, in order."""
    return [Picture(*row) for row in images[["path", "label", "split"]].itertuples(index=False, name=None)]


def exact_copies(images: pd.DataFrame) -> list[Alike]:
    """Groups of readable images with equal bytes, in the order of :func:`worst_first`."""
    return worst_first(_groups(images[images["sha256"].duplicated(keep=False)], "sha256"))


def near_duplicates(images: pd.DataFrame, groups: pd.Series) -> list[Alike]:
    """Groups of near-duplicates that are more than exact copies, in the order of :func:`worst_first`.

    Args:
        images: the readable images of a manifest.
        groups: the near-duplicate group of each, with the index of ``images``.
    """
    several = images.assign(group=groups)
    several = several[several.groupby("group")["sha256"].transform("nunique") > 1]
    return worst_first(_groups(several, "group"))


def worst_first(groups: Iterable[Alike]) -> list[Alike]:
    """Groups with several labels first, then those across splits, then large ones; each part in order of paths."""
    return sorted(
        groups,
        key=lambda group: (
            not group.conflicts,
            not group.leaks,
            -len(group.pictures),
            group.pictures[0].path,
        ),
    )


def joined(*groupings: np.ndarray) -> np.ndarray:
    """The finest grouping that tears no group of any of ``groupings`` apart.

    Args:
        groupings: any values, ``[N]`` each; equal values of one grouping are one group.

    Returns:
        Group numbers, int ``[N]``.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    count = len(groupings[0])
    # A graph of images and groups: images are connected by the groups that they share.
    rows, columns, nodes = [], [], count
    for grouping in groupings:
        names, codes = np.unique(grouping, return_inverse=True)
        rows.append(np.arange(count))
        columns.append(nodes + codes)
        nodes += len(names)
    ends = (np.concatenate(rows), np.concatenate(columns))
    graph = coo_matrix((np.ones(len(ends[0]), bool), ends), shape=(nodes, nodes))
    return connected_components(graph, directed=False)[1][:count]


def _groups(images: pd.DataFrame, key: str) -> list[Alike]:
    # One of each label and split first: of a large group only the first few are shown, and they must tell it all.
    turn = images.groupby([key, "label", "split"]).cumcount()
    ordered = images.assign(turn=turn).sort_values("turn", kind="stable")
    return [Alike(pictures(group)) for _, group in ordered.groupby(key, sort=True)]
