"""Check a split before anything is trained on it: no leaks, parts of the asked sizes, alike in classes.

Five tables are checked: all images of the split, those of test, those of val, the parts, and the classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from graft.core.params.models import SplitParams
from graft.core.project import SPLITS
from graft.data.checks.check_rules import Check, run_rules
from graft.data.checks.check_verdict import Verdict, make_verdict, write_verdict
from graft.data.checks.data_docs import write_data_docs
from graft.data.checks.gallery import GalleryPicture, families, singles
from graft.data.splits.numbered_images import differing, mapped, numbered

if TYPE_CHECKING:
    import pandas as pd

# The tables under test.
SPLIT_IMAGES, TEST_IMAGES, VAL_IMAGES, PARTS, CLASS_SHARES = (
    "images of the split",
    "images of test",
    "images of val",
    "parts",
    "class shares",
)


def check_split(
    tables: Mapping[str, pd.DataFrame],
    summary: Mapping[str, Any],
    near_duplicates: pd.DataFrame,
    images: int,
    params: SplitParams,
    data: Path,
    verdict: Path,
    docs: Path,
) -> Verdict:
    """Run every rule on a split; write the verdict (JSON) and the Data Docs (HTML).

    The folder ``docs`` is replaced whole. Equal input gives equal bytes. Broken rules do not raise here: see
    :func:`graft.data.checks.check_verdict.raise_for`.

    Args:
        tables: by split, columns path, label, sha256.
        summary: of how they came about; see :func:`graft.data.splits.split_images.make_split`.
        near_duplicates: columns path, group; see :func:`graft.data.scan.near_duplicates.find_near_duplicates`.
        data: the folder that paths are relative to; pictures in the Data Docs are made from it.
    """
    checked = _tables(tables, summary, near_duplicates, params)
    outcomes = run_rules(_checks(params, summary), checked, params.severity.model_dump())
    result = make_verdict(outcomes, images, int(summary["left_out"]))
    splits = {
        path: split
        for split in SPLITS
        for path in tables[split].loc[tables[split]["path"].isin(near_duplicates["path"]), "path"]
    }
    pictures: dict[str, list[list[GalleryPicture]]] = {
        "no_leaked_copies": singles(outcomes.offenders.get("no_leaked_copies", []), {}),
        **{
            name: families(outcomes.offenders.get(name, []), near_duplicates, splits)
            for name in ("no_near_duplicates_in_test", "no_near_duplicates_in_val")
        },
    }
    write_data_docs(docs, outcomes, result, pictures, data)
    write_verdict(result, verdict)
    return result


def near_duplicates_across(images: pd.DataFrame, groups: Mapping[str, str]) -> pd.Series:
    """Return for each image the path of a near-duplicate in a split nearer to training; "" where there is none.

    An image of test has one where its group is in train or val, an image of val where its group is in train.

    Args:
        groups: of near-duplicates, by path; images that are in none are not named.
    """
    found = images.assign(group=mapped(images["path"], lambda path: groups.get(path, "")))
    grouped = found[found["group"] != ""]
    first = {
        split: part.sort_values("path").drop_duplicates("group").set_index("group")["path"]
        for split, part in grouped.groupby("split")
    }
    result = found["group"].where(found["group"] == "", "")
    for split, others in (("val", ("train",)), ("test", ("val", "train"))):
        for other in others:
            if other in first:
                here = found["split"] == split
                partner = found.loc[here, "group"].map(first[other])
                result.update(partner.dropna())
    return result


def _tables(
    tables: Mapping[str, pd.DataFrame], summary: Mapping[str, Any], near_duplicates: pd.DataFrame, params: SplitParams
) -> dict[str, pd.DataFrame]:
    """Return the tables under test; ``path`` is what an offending row is called by."""
    import pandas as pd

    images = pd.concat([tables[split][["path", "sha256"]] for split in SPLITS], ignore_index=True)
    counts = [len(tables[split]) for split in SPLITS]
    kind = pd.CategoricalDtype(list(SPLITS))
    images["split"] = pd.Categorical.from_codes(np.repeat(np.arange(len(SPLITS)), counts), dtype=kind)
    leaked = images[["path"]].assign(leaked=_leaks(images))
    del images["sha256"]
    groups = dict(zip(near_duplicates["path"], near_duplicates["group"], strict=True))
    images["near"] = near_duplicates_across(images, groups)
    test, val = (
        images.loc[images["split"] == split, ["path", "near"]].reset_index(drop=True) for split in ("test", "val")
    )
    parts = pd.DataFrame({"path": list(SPLITS), "problem": [_size_problem(split, summary, params) for split in SPLITS]})
    shares = {split: tables[split]["label"].value_counts(normalize=True).to_dict() for split in SPLITS}
    labels = sorted({str(label) for table in tables.values() for label in table["label"]})
    differences = [
        max(abs(shares["train"].get(label, 0.0) - shares[split].get(label, 0.0)) for split in ("val", "test"))
        for label in labels
    ]
    classes = pd.DataFrame(
        {"path": [f"{label}/" for label in labels], "difference": [round(value, 4) for value in differences]}
    )
    return {SPLIT_IMAGES: leaked, TEST_IMAGES: test, VAL_IMAGES: val, PARTS: parts, CLASS_SHARES: classes}


def _leaks(images: pd.DataFrame) -> pd.Series:
    """Return the path of a copy in another split, or "" where there is none; of several, the first by path."""
    import pandas as pd

    digests = pd.Series(numbered(images["sha256"])[0], index=images.index)
    found = pd.Series("", index=images.index, dtype="str")
    leaking = images[differing(digests, images["split"])]
    for _, copies in leaking.sort_values("path").groupby("sha256"):
        for row, own in zip(copies.index, copies["split"], strict=True):
            found[row] = copies.loc[copies["split"] != own, "path"].iloc[0]
    return found


def _size_problem(split: str, summary: Mapping[str, Any], params: SplitParams) -> str:
    """Return what is wrong with the size of a part, or ""."""
    count = summary["images"][split]
    if count < params.min_images:
        return f"{count} images, fewer than {params.min_images}"
    share = summary["shares"].get(split, {"asked": None})
    asked, reached = share["asked"], share.get("reached")
    if asked is None:
        return ""
    if asked >= 1:
        return "" if count == asked else f"{count} images instead of {asked:g}"
    if abs(asked - reached) > params.size_tolerance:
        return f"{100 * reached:.3g} % instead of {100 * asked:.3g} %"
    return ""


def _checks(params: SplitParams, summary: Mapping[str, Any]) -> list[Check]:
    import great_expectations.expectations as gxe

    share, difference = params.max_near_duplicate_share, params.max_class_difference

    def near_duplicate_check(name: str, table: str, description: str) -> Check:
        return Check(
            name=name,
            table=table,
            description=description,
            expectation=gxe.ExpectColumnValuesToBeInSet(
                column="near",
                value_set=[""],
                mostly=max(0.0, 1 - share - 1e-9),  # in binary, 1 - 0.7 is a hair above 0.3
            ),
            broken="images have near-duplicates nearer to training",
            limit=f"at most {100 * share:.3g} %",
            remedy=_group_remedy(params, summary),
            found="nearly the same as {}",
        )

    return [
        Check(
            name="no_leaked_copies",
            table=SPLIT_IMAGES,
            description="No image is in two splits",
            expectation=gxe.ExpectColumnValuesToBeInSet(column="leaked", value_set=[""]),
            broken="images are in another split too",
            limit="none",
            remedy="Make the tables anew with `dvc repro -f split`",
            found="the same bytes as {}",
        ),
        near_duplicate_check(
            "no_near_duplicates_in_test",
            TEST_IMAGES,
            f"At most {100 * share:.3g} % of the images of test show what one of train or val shows, but for a few "
            "pixels",
        ),
        near_duplicate_check(
            "no_near_duplicates_in_val",
            VAL_IMAGES,
            f"At most {100 * share:.3g} % of the images of val show, but for a few pixels, what one of train shows",
        ),
        Check(
            name="split_sizes",
            table=PARTS,
            description=f"Every part has at least {params.min_images} images, and its share within "
            f"{100 * params.size_tolerance:.3g} points of the asked one",
            expectation=gxe.ExpectColumnValuesToBeInSet(column="problem", value_set=[""]),
            broken="parts have another size",
            limit=f"{params.min_images} images, {100 * params.size_tolerance:.3g} points",
            remedy="Add images, ask for other sizes under split in params.yaml, or take smaller groups",
        ),
        Check(
            name="class_proportions",
            table=CLASS_SHARES,
            description="Each class has the share in val and in test that it has in train, to "
            f"{100 * difference:.3g} points",
            expectation=gxe.ExpectColumnValuesToBeBetween(column="difference", max_value=difference),
            broken="classes have another share in val or test than in train",
            limit=f"at most {100 * difference:.3g} points",
            remedy="Judge by macro-F1, which weighs classes alike, or let split.method divide the data anew",
            found="a difference of {}",
        ),
    ]


def _group_remedy(params: SplitParams, summary: Mapping[str, Any]) -> str:
    """Return what to do about near-duplicates on two sides, which depends on who put them there."""
    patterns = "or to a pattern that captures what belongs together, such as '(.+)-[0-9]+'"
    otherwise = "or raise split.max_near_duplicate_share in params.yaml"
    if params.group_by == "near_duplicates" and summary["method"] != "official":
        return (
            "Images that arrived later join groups that were divided before: remove them, divide everything anew by "
            f"another split.seed, {otherwise}"
        )
    if params.group_by == "near_duplicates":
        return f"The data's own split shares them: set split.method to group, which divides anew, {otherwise}"
    if summary["method"] == "official":
        return (
            f"Set split.group_by to near_duplicates ({patterns}), which keeps groups whole where val is taken out of "
            "train; where the data's own test shares them with train, set split.method to group too, which divides "
            f"anew, {otherwise}"
        )
    method = "" if summary["method"] in ("group", "k_fold") else "split.method to group and "
    return f"Set {method}split.group_by to near_duplicates ({patterns}), {otherwise}"
