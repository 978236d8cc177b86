"""Refuse splits that leak, tear groups apart, or leave a part or a class without images, whatever their method.

Tables here hold the readable images, sorted by path, as :mod:`graft.data.splits.numbered_images` keeps them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from graft.core.errors import GraftError
from graft.core.project import SPLITS
from graft.data.splits.numbered_images import Names, differing, mapped, members

if TYPE_CHECKING:
    import pandas as pd

_MOST_OF_A_CLASS = 0.5


def drop_leaks(images: pd.DataFrame) -> tuple[pd.DataFrame, list[dict[str, str]]]:
    """Drop the images of train that are in val or test too, and those of val that are in test.

    Also gives what was dropped: path, split, copy_of (a path) and copy_in (a split) of each.
    """
    dropped: list[dict[str, str]] = []
    left = images
    for held_out, others in (("test", ("train", "val")), ("val", ("train",))):
        digests, here = left["sha256"].to_numpy(), (left["split"] == held_out).to_numpy()
        size = digests.max(initial=-1) + 1
        leaking = left["split"].isin(others).to_numpy() & members(digests[here], size)[digests]
        if not leaking.any():
            continue
        leaks = left[leaking]
        # Rows are sorted by path, so the copy named is the same every time.
        originals = left[here & members(digests[leaking], size)[digests]].drop_duplicates("sha256")
        first = dict(zip(originals["sha256"], originals["path"], strict=True))
        dropped += [
            {"path": row.path, "split": row.split, "copy_of": first[row.sha256], "copy_in": held_out}
            for row in leaks.itertuples()
        ]
        left = left[~leaking]
    return left, dropped


def drop_near_duplicates(
    images: pd.DataFrame, digests: Names, near_duplicates: pd.DataFrame | None
) -> tuple[pd.DataFrame, list[dict[str, str]]]:
    """Drop the images of train that show what val or test shows, and those of val that show what test does.

    The data's own parts stay what they are; nothing is moved. A class that would lose most of its images keeps them:
    the rules judge what is left.

    Args:
        near_duplicates: columns sha256 and group; None drops nothing.

    Returns:
        The images, and what was dropped: path, split, near (a path) and near_in (a split) of each.
    """
    import pandas as pd

    if near_duplicates is None or not images["split"].isin(["val", "test"]).any():
        return images, []
    group_of = dict(zip(near_duplicates["sha256"], near_duplicates["group"], strict=True))
    texts = pd.Series(digests.of(images["sha256"].to_numpy()), index=images.index)
    groups = mapped(texts, lambda digest: group_of.get(digest, ""))
    dropped: list[dict[str, str]] = []
    gone = pd.Series(False, index=images.index)
    for held_out, others in (("test", ("train", "val")), ("val", ("train",))):
        originals = images[(images["split"] == held_out) & (groups != "") & ~gone]
        first = originals.groupby(groups[originals.index])["path"].first()
        near = images["split"].isin(others) & groups.isin(first.index) & ~gone
        # Where most of a class is alike, likeness says little.
        share = near.groupby([images["split"], images["label"]], observed=True).transform("mean")
        near &= share <= _MOST_OF_A_CLASS
        dropped += [
            {"path": row.path, "split": row.split, "near": first[groups[row.Index]], "near_in": held_out}
            for row in images[near].itertuples()
        ]
        gone |= near
    return images[~gone], dropped


def drop_small_classes(images: pd.DataFrame, needed: int) -> tuple[pd.DataFrame, dict[str, int]]:
    """Drop the classes that have too few groups in train to be divided.

    Args:
        images: with the column group; an image by itself is one.
        needed: groups that the parts to be made take and leave.

    Returns:
        The images, and how many groups each class had that was dropped.

    Raises:
        GraftError: fewer than two classes are left, or fewer than were dropped.
    """
    train = images[images["split"] == "train"]
    counts = train.groupby("label", observed=True)["group"].nunique()
    small = {str(label): int(count) for label, count in counts.items() if count < needed}
    if not small:
        return images, {}
    left = len(counts) - len(small)
    if left < 2 or left < len(small):
        label, count = min(small.items(), key=lambda item: (item[1], item[0]))
        raise GraftError(
            f"{len(small)} of {len(counts)} classes cannot be divided into train, val and test, which takes {needed} "
            f"different images (near-duplicates, and images of one group, count as one): '{label}' has {count}",
            "Add images of these classes, and run `graft data import` again with --replace",
        )
    return images[~images["label"].isin(list(small))], small


def refuse_torn_groups(images: pd.DataFrame, groups: Names) -> None:
    """Raise GraftError where a group lies in two splits: then figures on one say nothing about new groups."""
    several = differing(images["group"], images["split"])
    if not several.any():
        return
    torn = images[several].drop_duplicates(["group", "split"])
    first = torn[torn["group"] == torn["group"].iloc[0]]
    files = " and ".join(f"{row.split} ({row.path})" for row in first.itertuples())
    name = groups[first["group"].iloc[0]]
    raise GraftError(
        f"The data's own split tears {torn['group'].nunique()} groups apart: '{name}' is in {files}",
        "If they only share a name, let split.group_by capture the folder too, as '(.+)-[0-9]+' does; "
        "if they are the same, set split.method to group",
    )


def refuse_unknown_classes(images: pd.DataFrame) -> None:
    """Raise GraftError where val or test holds a class that train has no image of."""
    known = images.loc[images["split"] == "train", "label"].unique()
    strangers = images[~images["label"].isin(known)]
    if not strangers.empty:
        first = strangers.iloc[0]
        raise GraftError(
            f"{first['split']} holds the class '{first['label']}' ({first['path']}), of which train has no "
            "image of its own",
            f"Add images of it to train, or remove the class from {first['split']}",
        )


def refuse_empty_parts(images: pd.DataFrame, carved: list[str]) -> None:
    """Raise GraftError where a split is empty, or one that was carved out lacks a class that train has."""
    for split in SPLITS:
        labels = set(images.loc[images["split"] == split, "label"].unique())
        if not labels:
            raise GraftError(
                f"The {split} split is empty: data/ has too few readable images for three splits",
                "Import more images with `graft data import FOLDER --replace`, or no split folder that has none",
            )
        lacking = set(images.loc[images["split"] == "train", "label"].unique()) - labels
        if split in carved and lacking:
            raise GraftError(
                f"The {split} split has no image of the class '{min(lacking)}' but copies of what is in another split",
                "Remove the copies, or add images of the class",
            )
