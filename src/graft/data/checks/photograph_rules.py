"""What the raw images must be like before anything is trained on them.

Three tables are checked: all images of the manifest, the readable ones, and the classes.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from graft.core.params.models import ValidateParams
from graft.data.checks.check_rules import Check, run_rules
from graft.data.checks.check_verdict import Verdict, make_verdict, write_verdict
from graft.data.checks.data_docs import write_data_docs
from graft.data.checks.gallery import Picture, families, singles
from graft.data.scan.manifest import read_class_folders, read_manifest
from graft.data.scan.near_duplicates import read_near_duplicates

if TYPE_CHECKING:
    import pandas as pd

# The tables under test.
IMAGES, READABLE, CLASSES = "images", "readable images", "classes"


def check(
    manifest: Path, near_duplicates: Path, params: ValidateParams, data: Path, verdict: Path, docs: Path
) -> Verdict:
    """Runs every rule on a manifest; writes the verdict (JSON) and the Data Docs (HTML).

    The folder ``docs`` is replaced whole. Its ``index.html`` is the page to open, and ``offenders.csv`` lists
    every image that breaks a rule (columns rule, path, found). Equal input gives equal bytes. Broken rules do
    not raise here: see :func:`graft.data.checks.check_verdict.raise_for`.

    Args:
        near_duplicates: what :func:`graft.data.scan.near_duplicates.write_near_duplicates` wrote of it.
        data: the folder that paths are relative to; pictures in the Data Docs are made from it.

    Raises:
        GraftError: the manifest or the list of near-duplicates is missing or damaged.
    """
    images = read_manifest(manifest)
    groups = read_near_duplicates(near_duplicates)
    tables = _tables(images, read_class_folders(manifest), groups)
    outcomes = run_rules(_checks(tables, params), tables, params.severity)
    result = make_verdict(outcomes, len(images), int((images["problem"] != "").sum()))
    broken = images[images["problem"] != ""]
    problems = dict(zip(broken["path"], broken["problem"], strict=True))
    pictures: dict[str, list[list[Picture]]] = {
        rule: singles(offenders, problems)
        for rule, offenders in outcomes.offenders.items()
        if rule not in _OF_CLASSES
    }
    if disagreeing := outcomes.offenders.get("near_duplicates_agree"):
        splits = dict(zip(images["path"], images["split"], strict=True))
        pictures["near_duplicates_agree"] = families(disagreeing, groups, splits)
    write_data_docs(docs, outcomes, result, pictures, data)
    write_verdict(result, verdict)
    return result


def _tables(images: pd.DataFrame, class_folders: list[str], groups: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The tables under test; ``path`` is what an offending row is called by."""
    import pandas as pd

    readable = images[images["problem"] == ""].reset_index(drop=True)
    width, height = readable["width"].astype("int64"), readable["height"].astype("int64")
    shorter = width.where(width < height, height)
    readable = readable.assign(
        shorter_side=shorter,
        pixels=width * height,
        aspect=(width.where(width > height, height) / shorter).round(2),
        file_format=readable["format"].replace("MPO", "JPEG"),
        bits_in_use=_bits_in_use(readable["mode"]),
        copy_in_class=_copies(readable, ["sha256", "label", "split"]),
        copy_elsewhere=_other_side(readable, "sha256", "split", (*_NEARER, "test")),
        other_label=_other_side(readable, "sha256", "label"),
    )
    agreed = readable.loc[readable["other_label"] == "", ["path", "label"]].merge(
        groups[["path", "group"]], on="path", how="inner", validate="one_to_one"
    )
    disagreeing = dict(zip(agreed["path"], _other_side(agreed, "group", "label"), strict=True))
    readable["near_other_label"] = readable["path"].map(lambda path: disagreeing.get(path, ""))
    labels = sorted({*class_folders, *images["label"]})
    for_training = readable.loc[readable["split"] != "test", "label"].value_counts()
    counts = [int(for_training.get(label, 0)) for label in labels]
    largest = max(counts, default=0)
    classes = pd.DataFrame(
        {
            "path": [f"{label}/" for label in labels],
            "label": labels,
            "for_training": counts,
            # A class without images has a rule of its own.
            "imbalance": [round(largest / count, 2) if count else 1.0 for count in counts],
        }
    )
    # A class that only val or test knows has a rule of its own.
    unknown = set(readable["label"]) - _trainable(readable)
    classes = classes[~classes["label"].isin(unknown)].reset_index(drop=True)
    columns = ["path", "label", "problem"]
    return {IMAGES: images[columns], READABLE: readable, CLASSES: classes}


_OF_CLASSES = frozenset({"enough_per_class", "balanced"})  # rules whose offenders are folders, not images
_SENSOR_BITS = 14  # of cameras; of 16 bits, fewer than a quarter of the range is dark indeed
_NEARER = ("", "train", "val")  # splits, from the nearest to training


def _bits_in_use(modes: pd.Series) -> pd.Series:
    """How many bits of 16 the values of each image take, where that is 14 or fewer in all that have 16; else ""."""
    deep = modes[modes.str.contains(";16", regex=False)]
    bits = deep.str.extract(r" of (\d+) bits$", expand=False)
    is_full = bits.isna() | (bits.fillna("16").astype(int) > _SENSOR_BITS)
    none = deep.iloc[:0] if is_full.any() else bits
    return none.reindex(modes.index, fill_value="")


def _copies(images: pd.DataFrame, alike: list[str]) -> pd.Series:
    """The path of the first image that is alike in some columns; "" where an image is that itself."""
    first = images.groupby(alike, sort=False)["path"].transform("first")
    return first.mask(first == images["path"], "")


def _other_side(images: pd.DataFrame, alike: str, side: str, order: tuple[str, ...] = ()) -> pd.Series:
    """The path of the first image that is alike in one column and on another side by another; "" where none is.

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


def _trainable(readable: pd.DataFrame) -> set[str]:
    return set(readable.loc[readable["split"].isin(["", "train"]), "label"])


def _checks(tables: dict[str, pd.DataFrame], params: ValidateParams) -> list[Check]:
    import great_expectations.expectations as gxe

    share, side, pixels = params.max_broken_share, params.min_side_px, params.max_pixels
    fewest = params.min_images_per_class
    return [
        Check(
            name="has_images",
            table=IMAGES,
            description="There are images",
            expectation=gxe.ExpectTableRowCountToBeBetween(min_value=1),
            broken="images found",
            limit="at least 1",
            remedy="Bring images in with `graft data import FOLDER`",
        ),
        Check(
            name="readable",
            table=IMAGES,
            description=f"Images can be read; at most {100 * share:.3g} % of them may be broken",
            expectation=gxe.ExpectColumnValuesToBeInSet(
                column="problem",
                value_set=[""],
                mostly=round(1 - share, 12),  # in binary, 1 - 0.7 is a hair above 0.3
            ),
            broken="images cannot be read",
            limit=f"at most {100 * share:.3g} %",
            remedy="Replace or remove the broken files, or raise validate.max_broken_share in params.yaml",
        ),
        Check(
            name="labelled",
            table=IMAGES,
            description="Every image has a class",
            expectation=gxe.ExpectColumnValueLengthsToBeBetween(column="label", min_value=1),
            broken="images have no class",
            limit="none",
            remedy="Put every image into a class folder",
            found="label '{}'",
        ),
        Check(
            name="large_enough",
            table=READABLE,
            description=f"Every image is at least {side} pixels wide and high",
            expectation=gxe.ExpectColumnValuesToBeBetween(column="shorter_side", min_value=side),
            broken="images are too small",
            limit=f"at least {side} pixels wide and high",
            remedy="Remove images that are too small, or lower validate.min_side_px in params.yaml",
            found="{} pixels",
        ),
        Check(
            name="not_too_large",
            table=READABLE,
            description=f"No image has more than {pixels} pixels",
            expectation=gxe.ExpectColumnValuesToBeBetween(column="pixels", max_value=pixels),
            broken="images are too large",
            limit=f"at most {pixels} pixels",
            remedy="Shrink images that are too large, or raise validate.max_pixels in params.yaml",
            found="{} pixels",
        ),
        Check(
            name="hashed",
            table=READABLE,
            description="Every image is identified by the SHA-256 of its bytes",
            expectation=gxe.ExpectColumnValuesToMatchRegex(column="sha256", regex="^[0-9a-f]{64}$"),
            broken="images have no valid SHA-256",
            limit="64 hex digits each",
            remedy="Make the manifest anew with `dvc repro -f validate`",
            found="'{}'",
        ),
        Check(
            name="known_format",
            table=READABLE,
            description=f"Files are {', '.join(params.formats)}",
            expectation=gxe.ExpectColumnValuesToBeInSet(column="file_format", value_set=list(params.formats)),
            broken="images are of another format",
            limit=", ".join(params.formats),
            remedy="Convert the files, or add their format to validate.formats in params.yaml",
        ),
        Check(
            name="full_range",
            table=READABLE,
            description="Images of 16 bits a sample use them, or say in the file how many they use",
            expectation=gxe.ExpectColumnValuesToBeInSet(column="bits_in_use", value_set=[""]),
            broken="images look nearly black: of 16 bits a sample they use the lower ones alone, and so do all others",
            limit="none",
            remedy="Note the range in the files (TIFF's MaxSampleValue, PNG's sBIT), or multiply their values",
            found="{} bits",
        ),
        Check(
            name="aspect",
            table=READABLE,
            description=f"No image is more than {params.max_aspect:g} times as long as it is wide, or the reverse",
            expectation=gxe.ExpectColumnValuesToBeBetween(column="aspect", max_value=params.max_aspect),
            broken="images are too long for a square",
            limit=f"at most {params.max_aspect:g} to 1",
            remedy="Every image is squeezed into a square: crop these, or raise validate.max_aspect in params.yaml",
            found="{} to 1",
        ),
        Check(
            name="several_classes",
            table=READABLE,
            description="There are at least two classes",
            expectation=gxe.ExpectColumnUniqueValueCountToBeBetween(column="label", min_value=2),
            broken="classes with readable images found",
            limit="at least 2",
            remedy="Bring images of another class, in a folder of its own",
        ),
        Check(
            name="known_classes",
            table=READABLE,
            description="Every class of val and test has images in train",
            expectation=gxe.ExpectColumnValuesToBeInSet(
                column="label", value_set=sorted(_trainable(tables[READABLE]))
            ),
            broken="images are of a class that train has no image of",
            limit="none",
            remedy="Add images of the class to train, or take it out of val and test",
            found="class {}",
        ),
        Check(
            name="no_conflicting_labels",
            table=READABLE,
            description="No image lies under two labels",
            expectation=gxe.ExpectColumnValuesToBeInSet(column="other_label", value_set=[""]),
            broken="images lie under another label too",
            limit="none",
            remedy="Decide which label is right and remove the other file; the split leaves all copies out until then",
            found="the same bytes as {}",
        ),
        Check(
            name="near_duplicates_agree",
            table=READABLE,
            description="Images that show the same but for a few pixels have one label",
            expectation=gxe.ExpectColumnValuesToBeInSet(column="near_other_label", value_set=[""]),
            broken="images have a near-duplicate under another label",
            limit="none",
            remedy="Look at them side by side in the Data Docs, and move those with a wrong label",
            found="nearly the same as {}",
        ),
        Check(
            name="no_copies_in_class",
            table=READABLE,
            description="No image is twice in its class",
            expectation=gxe.ExpectColumnValuesToBeInSet(column="copy_in_class", value_set=[""]),
            broken="images are copies of another in their class",
            limit="none",
            remedy="Remove the copies: each counts as one more image in training and in every figure",
            found="the same bytes as {}",
        ),
        Check(
            name="no_copies_across_splits",
            table=READABLE,
            description="No image is on two sides of an official split",
            expectation=gxe.ExpectColumnValuesToBeInSet(column="copy_elsewhere", value_set=[""]),
            broken="images are in another split too",
            limit="none",
            remedy="Nothing has to be done: graft's split leaves these out and keeps the copy further from training",
            found="the same bytes as {}",
        ),
        Check(
            name="enough_per_class",
            table=CLASSES,
            description=f"Every class has at least {fewest} readable images outside test",
            expectation=gxe.ExpectColumnValuesToBeBetween(column="for_training", min_value=fewest),
            broken="classes have too few images",
            limit=f"at least {fewest} readable images outside test",
            remedy="Add images, remove the class, or lower validate.min_images_per_class in params.yaml",
            found="{} images",
        ),
        Check(
            name="balanced",
            table=CLASSES,
            description=f"The largest class has at most {params.max_imbalance:g} times the images of any other",
            expectation=gxe.ExpectColumnValuesToBeBetween(column="imbalance", max_value=params.max_imbalance),
            broken="classes are small beside the largest",
            limit=f"at most {params.max_imbalance:g} to 1",
            remedy="Add images of the small classes, set class_weight: balanced and judge by macro-F1, "
            "or raise validate.max_imbalance in params.yaml",
            found="the largest has {} times as many",
        ),
    ]
