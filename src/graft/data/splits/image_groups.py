"""Group images by what belongs together: those of train and val for cross-validation, those of test for intervals.

A fold that holds one frame of a film and trains on the next tells of memory, and a hundred frames of one film say less
of a model than a hundred photographs. Two images belong together where the
split kept them together (``split.group_by``), or where they are near-duplicates; and so on along the chain.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from graft.core.files import replaced_file
from graft.core.project import Project
from graft.core.text_tables import read_text_table
from graft.data.splits.grouping import joined

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

COLUMNS = ["sha256", "group"]


def image_groups(images: pd.DataFrame, near_duplicates: pd.DataFrame) -> pd.DataFrame:
    """Return the images that belong with others, and their groups; columns sha256 and group, sorted.

    A group is called by the smallest SHA-256 in it, so that renaming a file, or a group, changes nothing.

    Args:
        images: of train and val, or of test; columns sha256 and group, as of
            :class:`graft.data.splits.split_images.Split`.
        near_duplicates: columns sha256 and group.
    """
    images = images.drop_duplicates("sha256")[COLUMNS].reset_index(drop=True)
    near = near_duplicates.drop_duplicates("sha256").set_index("sha256")["group"]
    alone = images["sha256"]
    component = joined(images["group"].to_numpy(object), alone.map(near).fillna(alone).to_numpy(object))
    return groups_of_several(images, component)


def groups_of_several(images: pd.DataFrame, groups: np.ndarray) -> pd.DataFrame:
    """Return the images of groups of two or more with the smallest SHA-256 of their group, sorted.

    Args:
        images: column sha256.
        groups: of each row, any values ``[N]``; rows of equal bytes have equal ones.
    """
    found = images[["sha256"]].assign(group=groups).drop_duplicates("sha256")
    found["group"] = found.groupby("group")["sha256"].transform("min")
    return found[found.groupby("group")["sha256"].transform("size") > 1].sort_values(COLUMNS, ignore_index=True)


def write_split_groups(tables: Mapping[str, pd.DataFrame], near_duplicates: pd.DataFrame, project: Project) -> None:
    """Write which images of train and val belong together, and which of test.

    Args:
        tables: train, val and test, with the columns that :func:`image_groups` takes.
        near_duplicates: columns sha256 and group.
    """
    import pandas as pd

    training = pd.concat([tables["train"], tables["val"]], ignore_index=True)
    write_groups(image_groups(training, near_duplicates), project.training_groups)
    write_groups(image_groups(tables["test"], near_duplicates), project.test_groups)


def write_groups(groups: pd.DataFrame, path: Path) -> None:
    """Write the groups as CSV: UTF-8, LF, equal for equal groups."""
    with replaced_file(path) as partial:
        groups[COLUMNS].to_csv(partial, index=False, lineterminator="\n", encoding="utf-8")


def read_groups(path: Path, sha256: Sequence[str]) -> np.ndarray:
    """Return the group of each image, str ``[N]``; one that belongs with no other is a group by itself.

    Raises:
        GraftError: there is no such file, or it has other columns.
    """
    names = read_group_names(path)
    return np.array([names.get(digest, digest) for digest in sha256])


def read_group_names(path: Path) -> dict[str, str]:
    """Return the group of each image that belongs with others, by SHA-256.

    Raises:
        GraftError: there is no such file, or it has other columns.
    """
    what = "a list of images that belong together"
    table = read_text_table(path, what, "Make it with `dvc repro -f split`", COLUMNS)
    return dict(zip(table["sha256"], table["group"], strict=True))
