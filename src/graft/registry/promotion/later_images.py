"""Images that came after a model was made: it can be judged on them, though later models were trained on them.

A delivery is evidence about every model that was there before it. Models are compared on the test images, which all of
them answer; deliveries tell of the earlier ones besides, and so whether a champion was only lucky.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from graft.core.project import Project
from graft.data.splits.image_groups import read_groups
from graft.data.splits.split_tables import read_splits
from graft.registry.store.seen_images import read_seen_images

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.entities.model_registry import ModelVersion

    from graft.registry.promotion.change_champion import Registry

# Images that one is asked about at most, beside those of test.
_MOST = 1000


def later_images(project: Project) -> pd.DataFrame:
    """Return the images of train and val: columns path, sha256, label and group, those of each hash once."""
    import pandas as pd

    tables = read_splits(project, ["train", "val"])
    images = pd.concat(tables.values(), ignore_index=True).drop_duplicates("sha256", ignore_index=True)
    images["group"] = read_groups(project.training_groups, list(images["sha256"]))
    return images


def judged_images(project: Project) -> pd.DataFrame:
    """Return the test images, which every version is judged on: columns path, sha256, label and group."""
    images = read_splits(project, ["test"])["test"]
    return images.assign(group=read_groups(project.test_groups, list(images["sha256"])))


def new_to(registry: Registry, version: ModelVersion, images: pd.DataFrame) -> pd.DataFrame:
    """Return the images whose group the version has seen nothing of; none where its run does not say what it has seen.

    Of very many, those with the smallest hashes: a choice that no model has a part in.
    """
    record = read_seen_images(registry.client, version.run_id) if version.run_id else None
    if record is None:
        return images.head(0)
    is_seen = images["sha256"].isin(record["sha256"]).to_numpy()
    groups = images["group"].to_numpy(str)
    is_new = ~np.isin(groups, groups[is_seen])
    return images[is_new].sort_values("sha256").head(_MOST)
