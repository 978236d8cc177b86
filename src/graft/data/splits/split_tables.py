"""Read and write the split tables, and find the way from an image in them back to its place in data/.

A table holds what an image is, not what it is called: columns sha256 and label, sorted, a row per file. Training
depends on nothing else of the data, so renaming or touching a file changes no table and re-runs no training,
while other bytes are another row. Where the file lies is looked up in the manifest when it is read.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graft.core.errors import GraftError
from graft.core.files import replaced_file, write_file
from graft.core.project import SPLITS, Project
from graft.core.text_tables import read_text_table
from graft.data.scan.manifest import FOR_SPLIT, read_manifest

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ["sha256", "label"]
# Of a table that has images beside the official split's: official or new.
ORIGIN = "origin"
_FIX = "Make it with `dvc repro split`"


def write_split_tables(
    tables: dict[str, pd.DataFrame], summary: dict[str, Any], folder: Path, new_test: pd.DataFrame | None = None
) -> None:
    """Write ``train.csv``, ``val.csv``, ``test.csv``, ``summary.json``: UTF-8, LF, equal for equal input.

    Args:
        new_test: images that stand in ``test.csv`` too, with ``new`` in a column of its own; None: no such column.
    """
    import pandas as pd

    for name, table in tables.items():
        columns = COLUMNS
        if name == "test" and new_test is not None:
            table = pd.concat([table.assign(**{ORIGIN: "official"}), new_test.assign(**{ORIGIN: "new"})])
            columns = [*COLUMNS, ORIGIN]
        with replaced_file(folder / f"{name}.csv") as partial:
            table[columns].to_csv(partial, index=False, lineterminator="\n", encoding="utf-8")
    write_file(folder / "summary.json", json.dumps(summary, indent=2, ensure_ascii=False) + "\n")


def counts_of(images: pd.DataFrame, asked: dict[str, float]) -> dict[str, Any]:
    """Return images and groups per split, images per class and split, and the shares that were reached.

    A share is a fraction of what the part was carved from: of all images for test, of those outside test for val.
    ``asked`` is the fraction, or the number of images, of the params; None where the data brought the part.
    """
    parts = {split: images[images["split"] == split] for split in SPLITS}
    per_class = {split: part["label"].value_counts() for split, part in parts.items()}
    labels = [label for label in images["label"].cat.categories if sum(n[label] for n in per_class.values())]
    classes = {label: {split: int(per_class[split][label]) for split in SPLITS} for label in labels}

    def share(split: str, counts: dict[str, int]) -> float:
        of = sum(counts.values()) - (counts["test"] if split == "val" else 0)
        return round(counts[split] / of, 4) if of else 0.0

    sizes = {split: len(part) for split, part in parts.items()}
    return {
        "images": sizes,
        "groups": {split: int(part["group"].nunique()) for split, part in parts.items()},
        "classes": classes,
        "shares": {
            split: {
                "asked": asked.get(split),
                "reached": share(split, sizes),
                "by_class": {label: share(split, counts) for label, counts in classes.items()},
            }
            for split in ("val", "test")
        },
    }


def read_split_table(path: Path, origin: str = "official") -> pd.DataFrame:
    """Return one split's table: columns sha256, label (str, never null), sorted by them.

    Args:
        origin: ``new``: the images beside an official split's alone (``split.new_to_test``), which are else left out.

    Raises:
        GraftError: there is no table at ``path``, or it is not one of graft's.
    """
    table = read_text_table(path, "a split table", _FIX)
    if list(table.columns) not in (COLUMNS, [*COLUMNS, ORIGIN]):
        raise GraftError(f"{path} has the columns {', '.join(table.columns)} instead of {', '.join(COLUMNS)}", _FIX)
    if ORIGIN not in table:
        return table if origin == "official" else table.head(0)
    return table.loc[table[ORIGIN] == origin, COLUMNS].reset_index(drop=True)


def read_splits(project: Project, names: Sequence[str]) -> dict[str, pd.DataFrame]:
    """Return the tables of several splits with the paths of their images: columns path, label, sha256.

    Raises:
        GraftError: a table or the manifest is missing or damaged, or they do not belong together.
    """
    manifest = read_manifest(project.manifest, columns=FOR_SPLIT)
    return {name: with_paths(read_split_table(project.split_table(name)), manifest, name) for name in names}


def read_new_test(project: Project) -> pd.DataFrame:
    """Return the test images beside an official split's: columns path, label, sha256, and group, each its own.

    Empty where ``split.new_to_test`` is 0. Errors as of :func:`read_splits`.
    """
    table = with_paths(
        read_split_table(project.split_table("test"), "new"), read_manifest(project.manifest, columns=FOR_SPLIT)
    )
    return table.assign(group=table["sha256"])


def with_paths(table: pd.DataFrame, manifest: pd.DataFrame, split: str = "") -> pd.DataFrame:
    """Return a table with a column sha256, in its order, and each image's path from the manifest in front.

    Of several files with the same bytes each row gets its own, those in the data's own folder for ``split``
    first, then in order of path.

    Raises:
        GraftError: the manifest lacks an image of the table.
    """
    files = manifest.loc[manifest["left_out"] == "", ["path", "sha256", "split"]]
    files = files[files["sha256"].isin(table["sha256"])]
    files = files.assign(elsewhere=files["split"] != split).sort_values(["elsewhere", "path"])
    files = files.assign(copy=files.groupby("sha256").cumcount())[["sha256", "copy", "path"]]
    rows = table.assign(copy=table.groupby("sha256").cumcount())
    found = rows.merge(files, on=["sha256", "copy"], how="left").drop(columns="copy")
    missing = found["path"].isna()
    if missing.any():
        raise GraftError(
            f"{int(missing.sum())} images of the {split or 'split'} table are not in data/ any more, for example "
            f"the one with SHA-256 {found.loc[missing, 'sha256'].iloc[0]}",
            "The data changed since it was split: run `dvc repro` again",
        )
    return found[["path", *[column for column in found if column != "path"]]]
