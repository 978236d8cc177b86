"""Which images belong together: frames of one hand, of one track, of one patient, near-duplicates.

A group is a name; an image without one is a group by itself, called by the SHA-256 of its bytes, so that exact
copies are a group too. Where group names come from is settled here and nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from graft.data.coded_images import mapped
from graft.errors import GraftError

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
    """The groups of images (columns path, sha256 and, for ``column``, group).

    Args:
        images: the readable images of a manifest.
        group_by: ``none``, ``column``, or a regular expression as ``split.group_by`` in params.yaml takes it.

    Raises:
        GraftError: the column is not there or is empty throughout; the expression fits no path; the groups are of
            near-duplicates, which stage validate finds, and which :func:`given_groups` takes.
    """
    if group_by == "near_duplicates":
        raise GraftError(
            "split.group_by is 'near_duplicates', but no groups of near-duplicates were given",
            "Find them with `dvc repro validate`",
        )
    if group_by == "none":
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


def given_groups(images: pd.DataFrame, groups: Mapping[str, str] | pd.Series) -> Grouping:
    """The groups of images (columns path, sha256) from a mapping of path to group, or a column with their index.

    An image that the mapping lacks, or that has the group ``""``, is a group by itself.
    """
    if isinstance(groups, Mapping):
        return _fill_in(images, mapped(images["path"], lambda path: groups.get(path, "")))
    return _fill_in(images, groups.loc[images.index])


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
