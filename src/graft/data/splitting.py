"""Dividing the readable images of a manifest into train, val and test.

Which split an image belongs to follows from its bytes, its class and the seed alone: names, folders below the
class and the order of rows play no part, so renaming or copying a file moves nothing.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graft.errors import GraftError
from graft.params.models import SplitParams
from graft.project import SPLITS

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ["path", "label", "sha256"]


@dataclass(frozen=True)
class Split:
    """Three disjoint tables and how they came about.

    Attributes:
        tables: by split (train, val, test), columns path, label, sha256 (all str), sorted by path.
        summary: JSON-able: method (official or stratified), carved (parts that graft made), seed, images per
            split, classes (images per class and split), unreadable (images left out), and
            duplicates_dropped (copies kept out of training, each with path, split, copy_of, copy_in).
    """

    tables: dict[str, pd.DataFrame]
    summary: dict[str, Any]


def make_split(manifest: pd.DataFrame, params: SplitParams) -> Split:
    """Divides the readable images of a manifest (columns path, label, split, sha256 and problem).

    The official split is kept where the method says so, except that train (or val) loses images whose exact
    bytes are in test (or val) too. Parts it lacks are carved out of train: a fixed share of every class, at
    least one image of it where it can spare one. Copies of an image always land together.

    Raises:
        GraftError: no readable image; one image under two labels; ``official`` without an official split;
            an empty split; a class of val or test that train lacks.
    """
    images = manifest.loc[manifest["problem"] == "", [*COLUMNS, "split"]]
    images = images.sort_values("path", ignore_index=True)
    if images.empty:
        raise GraftError(
            "The manifest holds no readable image", "Bring data in with `graft data import FOLDER`"
        )
    _refuse_conflicting_labels(images)
    method = _method(manifest, params)
    if method == "stratified":
        images["split"] = "train"
    images, dropped = _drop_leaks(images)
    _refuse_unknown_classes(images)

    given = set(manifest["split"]) if method == "official" else {"train"}
    missing = [split for split in ("test", "val") if split not in given]
    sizes = {"test": params.test_size, "val": params.val_size}
    for position, split in enumerate(missing):
        # Every part still to come, and train itself, needs an image of the class.
        keep = len(missing) - position
        _carve(images, split, sizes[split], keep, params.seed)

    _refuse_empty_parts(images)
    tables = {split: images.loc[images["split"] == split, COLUMNS].reset_index(drop=True) for split in SPLITS}
    counts = images.groupby(["label", "split"]).size().unstack(fill_value=0).reindex(columns=SPLITS)
    summary = {
        "method": method,
        "carved": sorted(missing),
        "seed": params.seed,
        "images": {split: len(table) for split, table in tables.items()},
        "classes": {
            str(label): {split: int(row[split]) for split in SPLITS} for label, row in counts.iterrows()
        },
        "unreadable": int((manifest["problem"] != "").sum()),
        "duplicates_dropped": dropped,
    }
    return Split(tables, summary)


def write_splits(split: Split, folder: Path) -> None:
    """Writes ``train.csv``, ``val.csv``, ``test.csv``, ``summary.json``: UTF-8, LF, equal for equal input."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in split.tables.items():
        table.to_csv(folder / f"{name}.csv", index=False, lineterminator="\n", encoding="utf-8")
    text = json.dumps(split.summary, indent=2, ensure_ascii=False) + "\n"
    (folder / "summary.json").write_text(text, encoding="utf-8", newline="\n")


def read_split(path: Path) -> pd.DataFrame:
    """One split's table: columns path, label, sha256 (str, never null), sorted by path.

    Raises:
        GraftError: there is no table at ``path``, or it is not one of graft's.
    """
    import pandas as pd

    fix = "Make it with `dvc repro split`"
    try:
        # Labels such as 001, NA and null are names, not numbers and gaps; a carriage return may be in a name.
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8", lineterminator="\n")
    except FileNotFoundError:
        raise GraftError(f"There is no split table at {path}", fix) from None
    except ValueError as error:
        raise GraftError(f"{path} cannot be read as a split table: {error}", fix) from None
    if list(table.columns) != COLUMNS:
        raise GraftError(
            f"{path} has the columns {', '.join(table.columns)} instead of {', '.join(COLUMNS)}", fix
        )
    return table


def _method(manifest: pd.DataFrame, params: SplitParams) -> str:
    has_official = bool((manifest["split"] != "").any())
    if params.method == "auto":
        return "official" if has_official else "stratified"
    if params.method == "official" and not has_official:
        raise GraftError(
            "split.method is 'official', but data/ brings no split of its own",
            "Set split.method to auto in params.yaml, or put the class folders into train/ and test/",
        )
    return params.method


def _refuse_conflicting_labels(images: pd.DataFrame) -> None:
    pairs = images.drop_duplicates(["sha256", "label"])
    conflicts = pairs[pairs.duplicated("sha256", keep=False)]
    if conflicts.empty:
        return
    count = conflicts["sha256"].nunique()
    first = conflicts.loc[conflicts["sha256"] == conflicts["sha256"].iloc[0]]
    files = " and ".join(f"{row.path} (label {row.label})" for row in first.itertuples())
    others = f", and {count - 1} more such images" if count > 1 else ""
    raise GraftError(
        f"The same image lies under two labels in data/: {files}{others}",
        "Decide which label is right and remove the other file",
    )


def _drop_leaks(images: pd.DataFrame) -> tuple[pd.DataFrame, list[dict[str, str]]]:
    """Without the images of train that are in val or test too, and those of val that are in test."""
    dropped: list[dict[str, str]] = []
    kept = images
    for held_out, others in (("test", ("train", "val")), ("val", ("train",))):
        # Rows are sorted by path, so the copy named is the same every time.
        originals = kept[kept["split"] == held_out].drop_duplicates("sha256").set_index("sha256")["path"]
        leaks = kept[kept["split"].isin(others) & kept["sha256"].isin(originals.index)]
        dropped += [
            {"path": row.path, "split": row.split, "copy_of": originals[row.sha256], "copy_in": held_out}
            for row in leaks.itertuples()
        ]
        kept = kept.drop(index=leaks.index)
    return kept.copy(), sorted(dropped, key=lambda entry: entry["path"])


def _carve(images: pd.DataFrame, split: str, size: float, keep: int, seed: int) -> None:
    """Moves a share of every class from train to ``split``, in place, leaving at least ``keep`` behind.

    ``size`` below 1 is a fraction of the images that are in train now, from 1 up their number in all classes.
    Distinct images are counted, and copies follow: an image that lies there ten times is still one image.
    """
    train = images[images["split"] == "train"]
    distinct = train.drop_duplicates("sha256")
    if size >= len(distinct):
        raise GraftError(
            f"split.{split}_size is {size:g}, but only {len(distinct)} images are there to take them from",
            "Ask for fewer, or for a fraction such as 0.2",
        )
    fraction = size / len(distinct) if size >= 1 else size
    ranks = [_rank(digest, seed) for digest in distinct["sha256"]]
    distinct = distinct.assign(rank=ranks).sort_values(["label", "rank"])
    quotas = _quotas({str(k): int(n) for k, n in distinct["label"].value_counts().items()}, fraction, keep)
    position = distinct.groupby("label").cumcount()
    chosen = distinct.loc[position < distinct["label"].map(quotas), "sha256"]
    images.loc[train.index[train["sha256"].isin(chosen)], "split"] = split


def _rank(digest: str, seed: int) -> str:
    return hashlib.sha256(f"{seed}:{digest}".encode()).hexdigest()


def _quotas(counts: dict[str, int], fraction: float, keep: int) -> dict[str, int]:
    """Images to take per class: the fraction in all, by largest remainder, within 1 .. count - keep."""
    exact = {label: counts[label] * fraction for label in sorted(counts)}
    quotas = {label: int(share) for label, share in exact.items()}
    left = round(sum(exact.values())) - sum(quotas.values())
    for label in sorted(exact, key=lambda name: (quotas[name] - exact[name], name))[:left]:
        quotas[label] += 1
    return {
        label: min(max(quota, 1), counts[label] - keep) if counts[label] > keep else 0
        for label, quota in quotas.items()
    }


def _refuse_unknown_classes(images: pd.DataFrame) -> None:
    known = images.loc[images["split"] == "train", "label"]
    strangers = images[~images["label"].isin(known)]
    if not strangers.empty:
        first = strangers.iloc[0]
        raise GraftError(
            f"{first['split']} holds the class '{first['label']}' ({first['path']}), of which train has no "
            "image of its own",
            f"Add images of it to train, or remove the class from {first['split']}",
        )


def _refuse_empty_parts(images: pd.DataFrame) -> None:
    for split in SPLITS:
        if split not in set(images["split"]):
            raise GraftError(
                f"The {split} split is empty: data/ has too few readable images for three splits",
                "Add images, or remove an official split folder that holds none",
            )
