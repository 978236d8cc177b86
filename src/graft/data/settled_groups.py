"""What groups of near-duplicates are called, so that growth moves no image.

Splits draw a group by its name (:mod:`graft.data.assignment`). The groups of near-duplicates change as images
arrive: one joins a group, or shows that two groups were one all along. A name made of the members would change
with them, and a group could move from test to train. So names are remembered, image by image:

- a group of new images takes the smallest SHA-256 in it, which is also what an image by itself is called;
- new images of a group that has a name take that name;
- where new images join groups that have different names, every old image keeps its own, and so its place, and the
  new ones take the name that most of the others have. If those groups lie in different splits, they did so before:
  nobody could see that they belong together. The rules on near-duplicates across splits count them from now on.

What is remembered holds for one seed and one pair of limits; others are another division of the data.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from graft.data.coded_images import mapped
from graft.data.near_duplicates import Limits
from graft.errors import GraftError

if TYPE_CHECKING:
    import pandas as pd

_COLUMNS = ["draw", "sha256", "group"]


@dataclass(frozen=True)
class SettledGroups:
    """Names of groups.

    Attributes:
        names: the name of the group of each image, also of those that earlier runs saw, by SHA-256.
        joined: groups that now belong together and did not when they were named: the names, sorted.
    """

    names: dict[str, str]
    joined: list[list[str]]

    def column(self, images: pd.DataFrame) -> pd.Series:
        """The name of each image's group, with the images' index; they have the column sha256."""
        return mapped(images["sha256"], self.names.__getitem__)


def settle_groups(
    images: pd.DataFrame, near_duplicates: pd.DataFrame, remembered: Mapping[str, str]
) -> SettledGroups:
    """The name of the group of every image.

    Args:
        images: column sha256; the readable images of a manifest.
        near_duplicates: columns sha256 and group; see :func:`graft.data.near_duplicates.find_near_duplicates`.
        remembered: names that earlier runs gave, by SHA-256.
    """
    # Images that are gone keep their names too: they may come back.
    names = dict(remembered)
    for digest in images["sha256"]:
        names.setdefault(digest, digest)
    members: dict[str, list[str]] = {}
    for group, digest in sorted(set(zip(near_duplicates["group"], near_duplicates["sha256"], strict=True))):
        if digest in names:
            members.setdefault(group, []).append(digest)
    joined: list[list[str]] = []
    for group in members.values():
        known = Counter(remembered[digest] for digest in group if digest in remembered)
        most = min(known, key=lambda name: (-known[name], name)) if known else group[0]
        names.update({digest: remembered.get(digest, most) for digest in group})
        if len(known) > 1:
            joined.append(sorted(known))
    return SettledGroups(names, sorted(joined))


def draw_key(limits: Limits, seed: int) -> str:
    """What tells one set of names from another."""
    return f"seed {seed}, {limits.bits} bits, difference {limits.difference:g}"


def read_settled_groups(path: Path) -> dict[str, dict[str, str]]:
    """What earlier runs called the groups: by draw, the name by SHA-256; empty where there is no file.

    Raises:
        GraftError: the file is not one of graft's.
    """
    settled: dict[str, dict[str, str]] = {}
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = csv.reader(stream, strict=True)
            if next(rows, None) != _COLUMNS:
                raise ValueError("other columns")
            for draw, digest, name in rows:
                # Most images are alone, and called by their own digest: one text serves for both.
                settled.setdefault(draw, {})[digest] = digest if name == digest else name
    except FileNotFoundError:
        return {}
    except (ValueError, csv.Error):
        raise GraftError(
            f"{path} cannot be read as the names of groups of near-duplicates",
            "Restore it with `dvc checkout split`; without it, groups that grew may be divided anew",
        ) from None
    return settled


def write_settled_groups(settled: Mapping[str, Mapping[str, str]], path: Path) -> None:
    """Writes names as CSV (columns draw, sha256, group): UTF-8, LF, equal for equal names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as stream:
        rows = csv.writer(stream, lineterminator="\n")
        rows.writerow(_COLUMNS)
        for draw, names in sorted(settled.items()):
            rows.writerows((draw, digest, names[digest]) for digest in sorted(names))
