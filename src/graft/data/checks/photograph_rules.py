"""Check the raw images before anything is trained on them.

Four tables are checked: all images of the manifest, the readable ones, those that take part, and the classes. Which
images take part was decided by the scan (:mod:`graft.data.scan.leaving_out`); the rules judge how many do not.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graft.core.params.models import ValidateParams
from graft.data.checks.check_rules import Check, run_rules
from graft.data.checks.check_verdict import Verdict, make_verdict, write_verdict
from graft.data.checks.data_docs import write_data_docs
from graft.data.checks.extra_rules import EXTRA, extra_checks, extra_table
from graft.data.checks.gallery import GalleryPicture, families, singles
from graft.data.checks.photograph_tables import CLASSES, IMAGES, READABLE, TAKEN, photograph_tables, trainable
from graft.data.scan.leaving_out import is_unreadable, kind_of
from graft.data.scan.manifest import read_class_folders, read_manifest
from graft.data.scan.near_duplicates import read_near_duplicates

if TYPE_CHECKING:
    import pandas as pd

# Rules whose offenders are folders, not images.
_OF_CLASSES = frozenset({"enough_per_class", "balanced", "classes_kept"})
_MOST_OF_A_CLASS = 0.5  # left out, and something is wrong with all of the class


def check(
    manifest: Path, near_duplicates: Path, params: ValidateParams, data: Path, verdict: Path, docs: Path
) -> Verdict:
    """Run every rule on a manifest; write the verdict (JSON) and the Data Docs (HTML).

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
    tables = photograph_tables(images, read_class_folders(manifest), groups)
    severities = {**params.severity.model_dump(), **{one.rule: one.severity for one in params.extra}}
    checks = _checks(tables, params)
    if params.extra:
        tables[EXTRA] = extra_table(tables[TAKEN], tables[READABLE], data)
        checks += extra_checks(params.extra, [str(name) for name in tables[EXTRA]])
    outcomes = run_rules(checks, tables, severities)
    result = make_verdict(outcomes, len(images), int((images["left_out"] != "").sum()))
    broken = images[is_unreadable(images["left_out"])]
    problems = dict(zip(broken["path"], broken["left_out"], strict=True))
    pictures: dict[str, list[list[GalleryPicture]]] = {
        rule: singles(offenders, problems) for rule, offenders in outcomes.offenders.items() if rule not in _OF_CLASSES
    }
    if disagreeing := outcomes.offenders.get("near_duplicates_agree"):
        splits = dict(zip(images["path"], images["split"], strict=True))
        pictures["near_duplicates_agree"] = families(disagreeing, groups, splits)
    write_data_docs(docs, outcomes, result, pictures, data)
    write_verdict(result, verdict)
    return result


def _left_out_words(images: pd.DataFrame) -> str:
    """Return the finding, to stand after a count: "images are left out (3 unreadable, 1 too small)"."""
    kinds = Counter(sorted(kind_of(reason) for reason in images["left_out"] if reason))
    words = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    return "images are left out" + f" ({words})" * bool(words)


def _left_out_remedy(images: pd.DataFrame) -> str:
    """Return the one setting that lets the run go on."""
    count = int((images["left_out"] != "").sum())
    if count == len(images):
        return "Bring in images that can be used with `graft data import FOLDER --replace`"
    share = -(-1000 * count // len(images)) / 1000
    return (
        f"Set validate.max_left_out to {share:g} in params.yaml to go on without them, or mend the files: "
        "artifacts/validate/left_out.csv has them all, with the reasons"
    )


def _checks(tables: dict[str, pd.DataFrame], params: ValidateParams) -> list[Check]:
    import great_expectations.expectations as gxe

    share, side, pixels = params.max_left_out, params.min_side_px, params.max_pixels
    fewest = params.min_images_per_class

    def between(column: str, least: float | None = None, most: float | None = None) -> Any:
        return gxe.ExpectColumnValuesToBeBetween(column=column, min_value=least, max_value=most)

    def none_in(column: str, mostly: float = 1) -> Any:
        return gxe.ExpectColumnValuesToBeInSet(column=column, value_set=[""], mostly=mostly)

    rows: list[tuple[tuple[str, str, str, Any], tuple[str, ...]]] = [
        (
            ("has_images", IMAGES, "There are images", gxe.ExpectTableRowCountToBeBetween(min_value=1)),
            ("images found", "at least 1", "Bring images in with `graft data import FOLDER`"),
        ),
        (
            (
                "few_left_out",
                IMAGES,
                "Nearly all images take part; those that do not are listed in left_out.csv, with the reason",
                none_in("left_out", round(1 - share, 12)),  # in binary, 1 - 0.7 is a hair above 0.3
            ),
            (_left_out_words(tables[IMAGES]), f"at most {100 * share:.3g} %", _left_out_remedy(tables[IMAGES])),
        ),
        (
            ("classes_kept", CLASSES, "No class loses most of its images", between("left_out", most=_MOST_OF_A_CLASS)),
            (
                "classes lose most of their images",
                f"at most {100 * _MOST_OF_A_CLASS:.0f} % of a class",
                "See in artifacts/validate/left_out.csv what is wrong with them; a class that shall not be learned "
                "goes by removing its folder from data/",
                "a share of {} is left out",
            ),
        ),
        (
            ("readable", IMAGES, "Images can be read", none_in("unreadable")),
            ("images cannot be read", "others are left out", "Replace or remove the broken files"),
        ),
        (
            (
                "labelled",
                IMAGES,
                "Every image has a class",
                gxe.ExpectColumnValueLengthsToBeBetween(column="label", min_value=1),
            ),
            ("images have no class", "none", "Put every image into a class folder", "label '{}'"),
        ),
        (
            (
                "large_enough",
                READABLE,
                f"Every image is at least {side} pixels wide and high",
                between("shorter_side", least=side),
            ),
            (
                "images are too small",
                f"at least {side} pixels wide and high",
                "Remove images that are too small, or lower validate.min_side_px in params.yaml",
                "{} pixels",
            ),
        ),
        (
            ("not_too_large", IMAGES, f"No image has more than {pixels:,} pixels", none_in("too_large")),
            (
                "images are too large",
                f"at most {pixels:,} pixels",
                "Shrink images that are too large, or raise validate.max_pixels in params.yaml",
            ),
        ),
        (
            (
                "hashed",
                TAKEN,
                "Every image is identified by the SHA-256 of its bytes",
                gxe.ExpectColumnValuesToMatchRegex(column="sha256", regex="^[0-9a-f]{64}$"),
            ),
            (
                "images have no valid SHA-256",
                "64 hex digits each",
                "Make the manifest anew with `dvc repro -f validate`",
                "'{}'",
            ),
        ),
        (
            (
                "known_format",
                READABLE,
                f"Files are {', '.join(params.formats)}",
                gxe.ExpectColumnValuesToBeInSet(column="file_format", value_set=list(params.formats)),
            ),
            (
                "images are of another format",
                ", ".join(params.formats),
                "Convert the files, or add their format to validate.formats in params.yaml",
            ),
        ),
        (
            (
                "full_range",
                TAKEN,
                "Images of 16 bits a sample use them, or say in the file how many they use",
                none_in("bits_in_use"),
            ),
            (
                "images look nearly black: of 16 bits a sample they use the lower ones alone, and so do all others",
                "none",
                "Note the range in the files (TIFF's MaxSampleValue, PNG's sBIT), or multiply their values",
                "{} bits",
            ),
        ),
        (
            (
                "aspect",
                READABLE,
                f"No image is more than {params.max_aspect:g} times as long as it is wide, or the reverse",
                between("aspect", most=params.max_aspect),
            ),
            (
                "images are too long for a square",
                f"at most {params.max_aspect:g} to 1",
                "Every image is squeezed into a square: crop these, or raise validate.max_aspect in params.yaml",
                "{} to 1",
            ),
        ),
        (
            (
                "several_classes",
                TAKEN,
                "There are at least two classes",
                gxe.ExpectColumnUniqueValueCountToBeBetween(column="label", min_value=2),
            ),
            (
                "classes with images found",
                "at least 2",
                "Bring images of two classes or more, each in a folder of its own, with `graft data import FOLDER "
                "--replace`",
            ),
        ),
        (
            (
                "known_classes",
                TAKEN,
                "Every class of val and test has images in train",
                gxe.ExpectColumnValuesToBeInSet(column="label", value_set=sorted(trainable(tables[TAKEN]))),
            ),
            (
                "images are of a class that train has no image of",
                "none",
                "Add images of the class to train, or take it out of val and test",
                "class {}",
            ),
        ),
        (
            ("no_conflicting_labels", READABLE, "No image lies under two labels", none_in("other_label")),
            (
                "images lie under another label too",
                "none",
                "Decide which label is right and remove the other file; until then all copies are left out",
            ),
        ),
        (
            (
                "near_duplicates_agree",
                TAKEN,
                "Images that show the same but for a few pixels have one label",
                none_in("near_other_label"),
            ),
            (
                "images have a near-duplicate under another label",
                "none",
                "Look at them side by side in the Data Docs, and move those with a wrong label",
                "nearly the same as {}",
            ),
        ),
        (
            ("no_copies_in_class", TAKEN, "No image is twice in its class", none_in("copy_in_class")),
            (
                "images are copies of another in their class",
                "none",
                "Remove the copies: each counts as one more image in training and in every figure",
                "the same bytes as {}",
            ),
        ),
        (
            (
                "no_copies_across_splits",
                TAKEN,
                "No image is on two sides of an official split",
                none_in("copy_elsewhere"),
            ),
            (
                "images are in another split too",
                "none",
                "Nothing has to be done: graft's split leaves these out and keeps the copy further from training",
                "the same bytes as {}",
            ),
        ),
        (
            (
                "enough_per_class",
                CLASSES,
                f"Every class has at least {fewest} images outside test",
                between("for_training", least=fewest),
            ),
            (
                "classes have few images",
                f"at least {fewest} images outside test",
                "Add images where you can: what so few say of their class is hardly more than chance",
                "{} images",
            ),
        ),
        (
            (
                "balanced",
                CLASSES,
                f"The largest class has at most {params.max_imbalance:g} times the images of any other",
                between("imbalance", most=params.max_imbalance),
            ),
            (
                "classes are small beside the largest",
                f"at most {params.max_imbalance:g} to 1",
                "Add images of the small classes, set class_weight: balanced and judge by macro-F1, "
                "or raise validate.max_imbalance in params.yaml",
                "the largest has {} times as many",
            ),
        ),
    ]
    return [Check(*rule, *words) for rule, words in rows]
