"""Make the tables for the rules about raw images: all images, the readable ones, those taking part, and the classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graft.data.scan.leaving_out import TOO_LARGE, TWO_LABELS, UNREADABLE, file_format, is_unreadable, kind_of

if TYPE_CHECKING:
    import pandas as pd

# The tables under test.
IMAGES, READABLE, TAKEN, CLASSES = "images", "readable images", "images that take part", "classes"


def photograph_tables(images: pd.DataFrame, class_folders: list[str], groups: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the tables under test; ``path`` is what an offending row is called by.

    Args:
        images: the manifest.
        class_folders: also those without an image.
        groups: of near-duplicates, columns path and group.
    """
    import pandas as pd

    unreadable = is_unreadable(images["left_out"])
    readable = images[~unreadable].reset_index(drop=True)
    width, height = readable["width"].astype("int64"), readable["height"].astype("int64")
    shorter = width.where(width < height, height)
    readable = readable.assign(
        shorter_side=shorter,
        aspect=(width.where(width > height, height) / shorter).round(2),
        file_format=readable["format"].map(file_format),
        other_label=_found(readable, TWO_LABELS),
    )
    taken = images[images["left_out"] == ""].reset_index(drop=True)
    taken = taken.assign(
        bits_in_use=_bits_in_use(taken["mode"]),
        copy_in_class=_copies(taken, ["sha256", "label", "split"]),
        copy_elsewhere=_other_side(taken, "sha256", "split", (*_NEARER, "test")),
    )
    alike = taken[["path", "label"]].merge(groups[["path", "group"]], on="path", validate="one_to_one")
    disagreeing = dict(zip(alike["path"], _other_side(alike, "group", "label"), strict=True))
    taken["near_other_label"] = taken["path"].map(lambda path: disagreeing.get(path, ""))
    labels = sorted({*class_folders, *images["label"]})
    for_training = taken.loc[taken["split"] != "test", "label"].value_counts()
    counts = [int(for_training.get(label, 0)) for label in labels]
    lost = (images["left_out"] != "").groupby(images["label"]).mean()
    largest = max(counts, default=0)
    classes = pd.DataFrame(
        {
            "path": [f"{label}/" for label in labels],
            "label": labels,
            "for_training": counts,
            "left_out": [round(float(lost.get(label, 0)), 4) for label in labels],
            # A class without images has a rule of its own.
            "imbalance": [round(largest / count, 2) if count else 1.0 for count in counts],
        }
    )
    # A class that only val or test knows has a rule of its own.
    unknown = set(taken["label"]) - trainable(taken)
    classes = classes[~classes["label"].isin(unknown)].reset_index(drop=True)
    everything = images[["path", "label", "left_out"]].assign(
        unreadable=_found(images, UNREADABLE), too_large=_found(images, TOO_LARGE)
    )
    return {IMAGES: everything, READABLE: readable, TAKEN: taken, CLASSES: classes}


_SENSOR_BITS = 14  # of cameras; of 16 bits, fewer than a quarter of the range is dark indeed
_NEARER = ("", "train", "val")  # splits, from the nearest to training


def _found(images: pd.DataFrame, kind: str) -> pd.Series:
    """Return the details of images that are left out for reasons of one kind; "" for others."""
    reasons = images["left_out"]
    return reasons.map(lambda reason: reason.partition(": ")[2]).where(reasons.map(kind_of) == kind, "")


def _bits_in_use(modes: pd.Series) -> pd.Series:
    """Return the bits of 16 that each image's values take, where that is at most 14 in all that have 16; else ""."""
    deep = modes[modes.str.contains(";16", regex=False)]
    bits = deep.str.extract(r" of (\d+) bits$", expand=False)
    is_full = bits.isna() | (bits.fillna("16").astype(int) > _SENSOR_BITS)
    none = deep.iloc[:0] if is_full.any() else bits
    return none.reindex(modes.index, fill_value="")


def _copies(images: pd.DataFrame, alike: list[str]) -> pd.Series:
    """Return the path of the first image that is alike in some columns; "" where an image is that itself."""
    first = images.groupby(alike, sort=False)["path"].transform("first")
    return first.mask(first == images["path"], "")


def _other_side(images: pd.DataFrame, alike: str, side: str, order: tuple[str, ...] = ()) -> pd.Series:
    """Return the path of the first image alike in column ``alike`` and different in column ``side``; "" where none is.

    With an ``order`` of the sides, the last of them is taken, and only sides later than the image's own count.
    """
    import pandas as pd

    found: dict[str, str] = {}
    sides = images.drop_duplicates([alike, side])
    several = sides.loc[sides.duplicated(alike), alike]
    for _, members in images[images[alike].isin(several)].groupby(alike, sort=False):
        first = dict(zip(*(members.drop_duplicates(side)[column] for column in (side, "path")), strict=True))
        for path, own in zip(members["path"], members[side], strict=True):
            others = [other for other in first if other != own]
            if order:
                later = [other for other in others if order.index(other) > order.index(own)]
                others = sorted(later, key=order.index, reverse=True)
            if others:
                found[path] = first[others[0]]
    return pd.Series([found.get(path, "") for path in images["path"]], index=images.index, dtype=object)


def trainable(taken: pd.DataFrame) -> set[str]:
    """Return the classes that have an image to train on."""
    return set(taken.loc[taken["split"].isin(["", "train"]), "label"])
