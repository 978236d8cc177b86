"""A model's test predictions by slices of the images: from the manifest, and from a table of the user's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from graft.core.errors import GraftError
from graft.core.params import Params
from graft.core.project import Project
from graft.data.checks.extra_rules import read_columns
from graft.data.scan.manifest import read_manifest
from graft.data.splits.image_groups import read_groups
from graft.evaluation.image_slices import Slice, slices
from graft.registry.runs.named_predictions import named_predictions

if TYPE_CHECKING:
    import pandas as pd

_MEASURED = ("brightness", "sharpness")


def sliced(project: Project, params: Params, name: str, table: Path | None = None) -> tuple[list[Slice], float]:
    """Return the slices of the test images, the worst first, and the accuracy on all of them.

    Args:
        name: of a model, as of :func:`graft.registry.runs.named_predictions.named_predictions`.
        table: CSV with a column path or sha256 and others to slice by.

    Raises:
        GraftError: there is no such model, or the table cannot be read or names none of the images.
    """
    predictions = named_predictions(project, params, [name])[name]
    manifest = read_manifest(project.manifest, columns=["path", "sha256", "width", "height", *_MEASURED])
    images = predictions[["sha256"]].merge(manifest.drop_duplicates("sha256"), on="sha256", how="left")
    images["shorter side"] = images[["width", "height"]].min(axis=1)
    images["label"] = predictions["label"]
    columns = images[["label", *_MEASURED, "shorter side"]]
    if table is not None:
        columns = columns.join(_of_table(table, images), rsuffix=" of the table")
    is_right = (predictions["label"] == predictions["predicted"]).to_numpy()
    found = slices(is_right, columns, read_groups(project.test_groups, list(predictions["sha256"])))
    return found, float(np.mean(is_right))


def _of_table(path: Path, images: pd.DataFrame) -> pd.DataFrame:
    """Return the other columns of a table for each image, in order; NaN where the table lacks it."""
    found, key = read_columns(path)
    joined = images[[key]].merge(found, on=key, how="left").drop(columns=key)
    if joined.isna().all(axis=None):
        raise GraftError(f"{path} names none of the test images by its column {key}", "Write them as in data/")
    return joined
