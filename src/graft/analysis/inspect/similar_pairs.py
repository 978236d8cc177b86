"""Images that are the same picture, as groups: of equal bytes, or near-duplicates."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from graft.analysis.inspect.inspect_report import Alike, Picture

if TYPE_CHECKING:
    import pandas as pd


def pictures(images: pd.DataFrame) -> list[Picture]:
    """Return rows of a manifest (columns path, label, split) as pictures, in order."""
    return [Picture(*row) for row in images[["path", "label", "split"]].itertuples(index=False, name=None)]


def exact_copies(images: pd.DataFrame) -> list[Alike]:
    """Return groups of readable images with equal bytes, in the order of :func:`worst_first`."""
    return worst_first(_groups(images[images["sha256"].duplicated(keep=False)], "sha256"))


def near_duplicates(images: pd.DataFrame, groups: pd.Series) -> list[Alike]:
    """Return groups of near-duplicates that are more than exact copies, in the order of :func:`worst_first`.

    Args:
        groups: the near-duplicate group of each, with the index of ``images``.
    """
    several = images.assign(group=groups)
    several = several[several.groupby("group")["sha256"].transform("nunique") > 1]
    return worst_first(_groups(several, "group"))


def worst_first(groups: Iterable[Alike]) -> list[Alike]:
    """Sort groups: with several labels first, then those across splits, then large ones; equals by path."""
    return sorted(
        groups, key=lambda group: (not group.conflicts, not group.leaks, -len(group.pictures), group.pictures[0].path)
    )


def _groups(images: pd.DataFrame, key: str) -> list[Alike]:
    # One of each label and split first: of a large group only the first few are shown, and they must tell it all.
    turn = images.groupby([key, "label", "split"]).cumcount()
    ordered = images.assign(turn=turn).sort_values("turn", kind="stable")
    return [Alike(pictures(group)) for _, group in ordered.groupby(key, sort=True)]
