"""Name the units by which images and groups are drawn, so that near-duplicates share a part and growth moves no image.

Splits draw a group by its name (:mod:`graft.data.splits.assignment`). What is alike changes as images arrive: one
joins a group, or shows that two groups were one all along. So names are remembered, for every *unit*: a group as
``split.group_by`` has it, or an image by itself.

- a unit that arrives and is alike to those that were there takes their name, and so their part; where they lie in
  different parts, the name of one that lies nearest to training: no image of test shall show what training shows;
- a unit that was there keeps its name, whatever arrives. Where units turn out to belong together that lie in different
  parts, nobody could see it before; the rules on near-duplicates across splits count them from now on;
- units that arrive together and are alike take the smallest of their names. In the first split, that is so where
  ``split.method`` is ``auto`` or ``split.group_by`` is ``near_duplicates``: else each is drawn by itself, and the rules
  judge.

What is remembered holds for one seed and one way to group; others are another division. Limits on what counts as
near-duplicates only decide what joins from now on: with other ones, every image stays where it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from graft.data.splits.grouping import joined

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class NamedGroups:
    """Names of units.

    Attributes:
        names: of each unit, also of those that earlier runs saw.
        joined: names of units that now belong together and did not when they were named, sorted.
    """

    names: dict[str, str]
    joined: list[list[str]]


def name_groups(
    images: pd.DataFrame,
    near_duplicates: pd.DataFrame,
    remembered: Mapping[str, str],
    join_new: bool,
    nearness: Callable[[str], tuple[int, ...]],
) -> NamedGroups:
    """Return the name of every unit.

    Args:
        images: columns sha256 and unit; the readable images of a manifest.
        near_duplicates: columns sha256 and group.
        remembered: names that earlier runs gave, by unit.
        join_new: whether units that are new take a common name where they are alike to no old one.
        nearness: of the part that a name lies in to training; larger is nearer.
    """
    import pandas as pd

    # Units that are gone keep their names too: they may come back.
    names = dict(remembered)
    for unit in images["unit"]:
        names.setdefault(unit, unit)
    group_of = dict(zip(near_duplicates["sha256"], near_duplicates["group"], strict=True))
    groups = images["sha256"].map(group_of)
    alike = pd.DataFrame({"unit": images["unit"], "group": groups})[groups.notna()]
    if alike.empty:
        return NamedGroups(names, [])
    component = joined(*(alike[column].to_numpy(object) for column in ("unit", "group")))
    several: list[list[str]] = []
    for _, units in alike["unit"].groupby(component):
        members = sorted(set(units))
        new = [unit for unit in members if unit not in remembered]
        known = Counter(remembered[unit] for unit in members if unit in remembered)
        if known and new:
            least = min(known, key=lambda name: (*(-part for part in nearness(name)), -known[name], name))
            names.update(dict.fromkeys(new, least))
        elif join_new:
            names.update(dict.fromkeys(new, members[0]))
        if len(known) > 1:
            several.append(sorted(known))
    return NamedGroups(names, sorted(several))


def kept_together(tables: Mapping[str, pd.DataFrame], near: pd.DataFrame | None) -> dict[str, int]:
    """Return how many images have near-duplicates that all lie in their own part, and in how many groups; {} if none.

    Args:
        tables: by split, column sha256.
        near: columns sha256 and group.
    """
    import pandas as pd

    if near is None or near.empty:
        return {}
    group_of = dict(zip(near["sha256"], near["group"], strict=True))
    found = pd.concat([table[["sha256"]].assign(split=split) for split, table in tables.items()]).drop_duplicates()
    found = found.assign(group=found["sha256"].map(group_of)).dropna()
    splits = found.groupby("group")["split"].agg(["size", "nunique"])
    whole = splits[(splits["size"] > 1) & (splits["nunique"] == 1)]
    return {"images": int(whole["size"].sum()), "groups": len(whole)} if len(whole) else {}


def naming_key(seed: int, group_by: str) -> str:
    """Return what tells one set of names from another."""
    return f"seed {seed}, group_by {group_by}"
