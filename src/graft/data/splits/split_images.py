"""Divide the images of a manifest that take part into train, val and test.

Which split an image belongs to follows from its group, or, where there are no groups, its bytes, and the seed:
names, folders below the class and the order of rows play no part, so renaming or copying a file moves nothing.

Sizes that are fractions are met by hash, group by group (:mod:`graft.data.splits.assignment`): images that arrive later
move no image and no group that is there, so a test set stays one as the data grows. A size that is a number of
images is met exactly, class by class. That is for comparing with published figures, and it does NOT survive
growth: with more images, others are the first of their class.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from graft.core.errors import GraftError
from graft.core.params.models import SplitParams
from graft.data.scan.manifest import FOR_SPLIT
from graft.data.splits.assignment import Draw, assign, exact_quotas, hash_position, position_in
from graft.data.splits.grouping import group_images
from graft.data.splits.new_test import set_aside
from graft.data.splits.numbered_images import Names, as_tables, coded, mapped, members, numbered
from graft.data.splits.settled_groups import kept_together, name_groups, naming_key
from graft.data.splits.split_checks import (
    drop_leaks,
    drop_near_duplicates,
    drop_small_classes,
    refuse_empty_parts,
    refuse_torn_groups,
    refuse_unknown_classes,
)
from graft.data.splits.split_memory import Memory
from graft.data.splits.split_tables import counts_of

if TYPE_CHECKING:
    import pandas as pd

    from graft.data.splits.series import Series


@dataclass(frozen=True)
class Split:
    """Three disjoint tables and how they came about.

    Attributes:
        tables: by split (train, val, test), columns sha256, label, path, group (all str), sorted.
        summary: JSON-able; see :func:`_summary`.
        memory: what was assigned for good, to be passed on when the grown data is split again.
        new_test: a table of test images beside an official split, see :mod:`graft.data.splits.new_test`; None: off.
    """

    tables: dict[str, pd.DataFrame]
    summary: dict[str, Any]
    memory: Memory
    new_test: pd.DataFrame | None = None


def make_split(
    manifest: pd.DataFrame,
    params: SplitParams,
    memory: Memory | None = None,
    near_duplicates: pd.DataFrame | None = None,
    series: Series | None = None,
) -> Split:
    """Divide the images of a manifest that take part (columns path, label, split, sha256, left_out, and maybe group).

    The official split is kept where the method says so; parts that it lacks are carved out of train. Exact
    copies always land together, and so do groups. Copies that a group, or the data's own split, puts on two sides
    are kept only in the one that is further from training, and so are near-duplicates across the data's own split. A
    class that has too few images (or groups) for its parts takes no part.
    Images that arrive join the part of their near-duplicates and series (:mod:`graft.data.splits.settled_groups`).

    Args:
        memory: of the split that this one continues; small classes are divided anew without it.
        near_duplicates: among the images (columns sha256, group), see
            :func:`graft.data.scan.near_duplicates.find_near_duplicates`.
        series: which are kept together where the method is ``auto``; None where ``group_by`` names groups.

    Raises:
        GraftError: no image that takes part; ``official`` without an official split, or
            with a group on two sides of it; a class too small for its parts; a number of images where groups go
            whole; an empty split; a class of val or test that train lacks; groups of near-duplicates are asked for,
            and none are given; the names that images were drawn by are gone.
    """
    memory = memory or Memory()
    wanted = [column for column in FOR_SPLIT if column in manifest]
    readable = manifest.loc[manifest["left_out"] == "", wanted].sort_values("path")
    if readable.empty:
        raise GraftError("The manifest holds no image that takes part", "Bring data in with `graft data import FOLDER`")
    images, digests = coded(readable)
    found = group_images(readable, params.group_by)
    method = _method(manifest, params)
    given = set(manifest["split"]) if method == "official" else {"train"}
    steps = _steps(params, method, [split for split in ("test", "val") if split not in given])
    whole = series if params.method == "auto" else None
    alike = whole.together if whole else near_duplicates
    keys, memory, joined = _named(readable, found.keys, params, steps, memory, alike)
    if keys.equals(readable["sha256"]):
        images, names = images.assign(group=images["sha256"]), digests
    else:
        numbers, names = numbered(keys)
        images = images.assign(group=numbers)
    declared = found.keys if params.group_by not in ("none", "near_duplicates") else None
    torn = None if declared is None or method != "official" else numbered(declared)
    images = images.reset_index(drop=True)
    unmatched = {"images": len(found.unmatched), "example": next(iter(found.unmatched.iloc[:1]), "")}
    del readable, found, declared, keys  # numbers do from here on
    if method != "official":
        images.loc[:, "split"] = "train"
    if torn is not None:
        images = images.assign(declared=torn[0])
    images, dropped = drop_leaks(images)
    images, near_dropped = drop_near_duplicates(images, digests, near_duplicates)
    aside = None
    if method == "official" and params.new_to_test:
        images, aside, memory = set_aside(images, names, params, memory)
    images, small = drop_small_classes(images, _needed(steps))
    refuse_unknown_classes(images)
    if torn is not None:
        # How many near-duplicates the data's own split may tear apart, the rule about them says.
        refuse_torn_groups(images.assign(group=images["declared"]), torn[1])
        images = images.drop(columns="declared")

    carver = _Carver(images, digests, names, params, memory)
    for step in steps:
        carver.carve(step)
    images, dropped_later = drop_leaks(images)
    refuse_unknown_classes(images)
    carved = [step.split for step in steps]
    refuse_empty_parts(images, carved)

    tables = as_tables(images, digests, names)
    asked = {
        split: 1 / params.folds if (method, split) == ("k_fold", "test") else getattr(params, f"{split}_size")
        for split in carved
    }
    summary = {
        "method": method,
        **({"fold": params.fold, "folds": params.folds} if method == "k_fold" else {}),
        "group_by": params.group_by,
        "carved": sorted(carved),
        "seed": params.seed,
        "stable_under_growth": all(size < 1 for size in asked.values()),
        **counts_of(images, asked),
        "exchanged": carver.exchanged(),
        "groups_joined_later": joined,
        "near_duplicates_together": kept_together(tables, near_duplicates) if params.method == "auto" else {},
        "series": _told(series, whole is not None),
        "classes_left_out": small,
        "near_duplicates_dropped": near_dropped,
        "unmatched": unmatched,
        "left_out": int((manifest["left_out"] != "").sum()),
        "duplicates_dropped": sorted(dropped + dropped_later, key=lambda entry: entry["path"]),
    }
    if aside is None:
        return Split(tables, summary, carver.memory)
    summary["new_test"] = {"images": len(aside), "groups": int(aside["group"].nunique())}
    new_test = as_tables(aside.assign(split="test"), digests, names)["test"]
    return Split(tables, summary, carver.memory, new_test)


@dataclass(frozen=True)
class _Step:
    """One part that is to be taken out of train.

    Attributes:
        split: the part, test or val.
        keep: groups of each class that train keeps at least.
        draw: by which it is taken; None where it is a number of images.
        drawn: which of the draw's parts it is.
    """

    split: str
    keep: int
    draw: Draw | None
    drawn: int = 0


def _steps(params: SplitParams, method: str, carved: Sequence[str]) -> list[_Step]:
    settings = [method, f"group_by {params.group_by}"]
    steps = []
    for position, split in enumerate(carved):
        # Every part still to come, and train itself, needs a group of the class.
        keep = len(carved) - position
        size: float = getattr(params, f"{split}_size")
        described = ", ".join(settings)
        if method == "k_fold" and split == "test":
            # Test is one of the folds, which are the same whichever of them it is. Outside a fold, both train and
            # val need a group of every class.
            folds = params.folds
            minima = [2 if folds == 2 else 1] * folds
            names = [f"fold {fold}" for fold in range(folds)]
            draw = Draw("fold", [1 / folds] * folds, minima, names, params.seed, described)
            steps.append(_Step(split, keep, draw, params.fold))
            settings.append(f"outside fold {params.fold} of {folds}")
            continue
        draw = Draw(split, [size, 1 - size], [1, keep], [split, "train"], params.seed, described)
        steps.append(_Step(split, keep, draw if size < 1 else None))
        settings.append(f"{split} {size:g}")
    return steps


def _needed(steps: Sequence[_Step]) -> int:
    """Return how many groups of each class of train the steps take and leave."""
    return max((sum(step.draw.minima) if step.draw else step.keep + 1 for step in steps), default=1)


def _named(
    readable: pd.DataFrame,
    units: pd.Series,
    params: SplitParams,
    steps: Sequence[_Step],
    memory: Memory,
    near: pd.DataFrame | None,
) -> tuple[pd.Series, Memory, list[list[str]]]:
    """Return the name that each image is drawn by, the memory of names, and those that turned out to be alike."""
    by_likeness = params.group_by == "near_duplicates"
    if near is None and by_likeness:
        raise GraftError(
            "split.group_by is 'near_duplicates', but no groups of near-duplicates were given",
            "Find them with `dvc repro validate`",
        )
    draws = [step.draw for step in steps if step.draw is not None]
    if not draws and not params.new_to_test:
        return units, memory, []  # numbers of images are met exactly, and do not survive growth
    key = naming_key(params.seed, params.group_by)
    remembered = memory.names.get(key)
    if remembered is None and any(draw.key in memory.founders for draw in draws):
        raise GraftError(
            "The names that images were drawn by are gone, without which images of test could move to training",
            "Restore artifacts/split/settled_groups.csv with `dvc checkout` or `dvc pull`",
        )

    def nearness(name: str) -> tuple[int, ...]:
        # Train is the last part. Folds are all alike.
        return tuple(draw.part_of(name, memory) for draw in draws if draw.name != "fold")

    settled = name_groups(
        readable[["sha256"]].assign(unit=units),
        units.iloc[:0].to_frame("sha256").assign(group="") if near is None else near,
        remembered or {},
        join_new=by_likeness or params.method == "auto" or remembered is not None,
        nearness=nearness,
    )
    memory = replace(memory, names={**memory.names, key: settled.names})
    return mapped(units, settled.names.__getitem__), memory, settled.joined


class _Carver:
    """A carver that moves images from train to parts that are still to be made, in place."""

    def __init__(self, images: pd.DataFrame, digests: Names, names: Names, params: SplitParams, memory: Memory) -> None:
        self.images = images
        self.digests = digests
        self.names = names
        self.params = params
        self.memory = memory
        self.keys: list[str] = []

    def carve(self, step: _Step) -> None:
        """Move a share of every class to a part."""
        if step.draw is not None:
            assigned = self._assign(step.draw)
            chosen = assigned[self.images["group"].to_numpy()] == step.drawn
            self.images.loc[(self.images["split"] == "train").to_numpy() & chosen, "split"] = step.split
            return
        number = int(getattr(self.params, f"{step.split}_size"))
        if self.params.group_by != "none":
            raise GraftError(
                f"split.{step.split}_size is {number} images, but groups go whole, so that no number can be met "
                "exactly",
                f"Give split.{step.split}_size as a fraction such as 0.2, or set split.group_by to none",
            )
        self._take_exactly(step.split, number, step.keep)

    def exchanged(self) -> int:
        """Return how many groups are, in the draws made here, in another part than their hash says."""
        present = members(self.images["group"].to_numpy(), len(self.names))
        found = [position_in(self.names, group) for key in self.keys for group in self.memory.exchanged[key]]
        return sum(position is not None and bool(present[position]) for position in found)

    def _assign(self, draw: Draw) -> np.ndarray:
        """Return the part of each group of train, by the group's number."""
        train = self.images.loc[self.images["split"] == "train", ["group", "label"]]
        labels = list(train["label"].cat.categories)
        held = np.unique(train["group"].to_numpy(np.int64) * len(labels) + train["label"].cat.codes.to_numpy())
        pairs = divmod(held, len(labels))
        assigned, self.memory = assign(self.names, labels, *pairs, draw, self.memory)
        self.keys.append(draw.key)
        return assigned

    def _take_exactly(self, split: str, number: int, keep: int) -> None:
        train = self.images[self.images["split"] == "train"]
        distinct = train.drop_duplicates("sha256")
        counts = {str(label): int(count) for label, count in distinct["label"].value_counts().items() if count}
        taken = exact_quotas(counts, number, keep, f"split.{split}_size")
        texts = self.digests.of(distinct["sha256"].to_numpy())
        ranks = [hash_position(split, digest, self.params.seed) for digest in texts]
        distinct = distinct.assign(rank=ranks).sort_values(["label", "rank", "sha256"])
        first = [distinct[distinct["label"] == label].iloc[:count] for label, count in taken.items()]
        chosen = members(np.concatenate([part["sha256"] for part in first]), len(self.digests))
        self.images.loc[train.index[chosen[train["sha256"].to_numpy()]], "split"] = split


def _told(series: Series | None, is_whole: bool) -> dict[str, Any]:
    if series is None:
        return {}
    counts = {"images": series.images, "series": series.count, "example": series.example}
    return {"together": is_whole, **counts, "least": series.least, "few": series.few}


def _method(manifest: pd.DataFrame, params: SplitParams) -> str:
    has_official = bool((manifest["split"] != "").any())
    if params.method == "auto":
        if has_official:
            return "official"
        return "stratified" if params.group_by == "none" else "group"
    if params.method == "official" and not has_official:
        raise GraftError(
            "split.method is 'official', but data/ brings no split of its own",
            "Set split.method to auto in params.yaml, or put the class folders into train/ and test/",
        )
    return params.method
