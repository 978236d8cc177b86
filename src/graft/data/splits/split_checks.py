"""What no split may do, whatever its method: leak, tear groups apart, or leave a part or a class without images.

Tables here hold the readable images, sorted by path, as :mod:`graft.data.splits.numbered_images` keeps them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from graft.core.errors import GraftError
from graft.core.project import SPLITS
from graft.data.splits.numbered_images import Names, differing, members

if TYPE_CHECKING:
    import pandas as pd


def drop_conflicting_labels(
    images: pd.DataFrame, digests: Names
) -> tuple[pd.DataFrame, list[dict[str, str]]]:
    """Without the images whose bytes lie under two labels: none of them says which label is right.

    Also gives what was dropped: path, label and sha256 of each. Whether that stops the pipeline is for the rule
    no_conflicting_labels to say.
    """
    conflicts = differing(images["sha256"], images["label"])
    if not conflicts.any():
        return images, []
    dropped = [
        {"path": str(row.path), "label": str(row.label), "sha256": digests[row.sha256]}
        for row in images[conflicts].itertuples()
    ]
    return images[~conflicts], dropped


def drop_leaks(images: pd.DataFrame) -> tuple[pd.DataFrame, list[dict[str, str]]]:
    """Without the images of train that are in val or test too, and those of val that are in test.

    Also gives what was dropped: path, split, copy_of (a path) and copy_in (a split) of each.
    """
    dropped: list[dict[str, str]] = []
    kept = images
    for held_out, others in (("test", ("train", "val")), ("val", ("train",))):
        digests, here = kept["sha256"].to_numpy(), (kept["split"] == held_out).to_numpy()
        size = digests.max(initial=-1) + 1
        leaking = kept["split"].isin(others).to_numpy() & members(digests[here], size)[digests]
        if not leaking.any():
            continue
        leaks = kept[leaking]
        # Rows are sorted by path, so the copy named is the same every time.
        originals = kept[here & members(digests[leaking], size)[digests]].drop_duplicates("sha256")
        first = dict(zip(originals["sha256"], originals["path"], strict=True))
        dropped += [
            {"path": row.path, "split": row.split, "copy_of": first[row.sha256], "copy_in": held_out}
            for row in leaks.itertuples()
        ]
        kept = kept[~leaking]
    return kept, dropped


def refuse_torn_groups(images: pd.DataFrame, groups: Names) -> None:
    """Raises GraftError where a group lies in two splits: then figures on one say nothing about new groups."""
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
    """Raises GraftError where val or test holds a class that train has no image of."""
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
    """Raises GraftError where a split is empty, or one that was carved out lacks a class that train has."""
    for split in SPLITS:
        labels = set(images.loc[images["split"] == split, "label"].unique())
        if not labels:
            raise GraftError(
                f"The {split} split is empty: data/ has too few readable images for three splits",
                "Add images, or remove an official split folder that holds none",
            )
        lacking = set(images.loc[images["split"] == "train", "label"].unique()) - labels
        if split in carved and lacking:
            raise GraftError(
                f"The {split} split has no image of the class '{min(lacking)}' but copies of what is in another split",
                "Remove the copies, or add images of the class",
            )
