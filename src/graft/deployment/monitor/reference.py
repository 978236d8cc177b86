"""The training side of a comparison.

Light, sharpness, size and features are of training images: the backbone has learned nothing from them. Predictions
are of validation images, since a model is more certain of images that it was trained on than of any others, and
would call every new image a change.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from graft.core.errors import GraftError
from graft.core.params.models import Params
from graft.core.project import Project
from graft.data.scan.leaving_out import is_unreadable
from graft.data.scan.manifest import read_manifest
from graft.data.scan.near_duplicates import read_near_duplicates
from graft.data.splits.grouping import group_images
from graft.data.splits.image_groups import image_groups
from graft.data.splits.split_tables import read_splits
from graft.deployment.monitor.log_samples import FIGURES, ModelPredictions, Sample, one_per_group

if TYPE_CHECKING:
    import pandas as pd

    from graft.deployment.predict.predict_photographs import Classifier
    from graft.networks.features.embedder import Embedder

_WANTED = ("path", "sha256", "left_out", "group", "width", "height", "brightness", "sharpness")


def read_reference(project: Project, params: Params) -> tuple[Sample, pd.DataFrame]:
    """Return independent training images without features or predictions, and their rows of the manifest, in order.

    Raises:
        GraftError: the data was not validated and split, or changed since, or there are too few images.
    """
    manifest = read_manifest(project.manifest, columns=_WANTED)
    images, repeats = _independent(project, params, manifest, "train")
    if len(images) < params.monitor.min_images:
        raise GraftError(
            f"Only {len(images)} training images are independent of each other; to compare with, it takes "
            f"{params.monitor.min_images}",
            "Bring in more photographs, or lower monitor.min_images in params.yaml",
        )
    broken = int(is_unreadable(manifest["left_out"]).sum())
    figures = {name: images[name].to_numpy(np.float64) for name in FIGURES}
    return Sample(figures, len(manifest), broken, repeats), images


def with_features(project: Project, sample: Sample, images: pd.DataFrame, embedder: Embedder) -> Sample:
    """Return the sample with its images' features, which are computed once and shared with training."""
    from graft.networks.decode_images import Photographs

    photographs = Photographs.of(project, images, embedder.image_size)
    return replace(sample, features=embedder.features(photographs, "Training images"))


def with_predictions(project: Project, params: Params, sample: Sample, classifier: Classifier) -> Sample:
    """Return the sample with the model's predictions for independent validation images."""
    from graft.core.progress import progress_bar
    from graft.deployment.predict.inputs import PhotographFiles
    from graft.deployment.predict.predict_photographs import predict_photographs

    manifest = read_manifest(project.manifest, columns=_WANTED)
    images, _ = _independent(project, params, manifest, "val")
    paths = [project.data / path for path in images["path"]]
    labels: list[str] = []
    confidence = [np.empty(0)]
    with progress_bar("Validation images", len(paths)) as advance:
        for some in predict_photographs(classifier, PhotographFiles(lambda: iter(paths)).read()):
            labels += [label for label in some.labels if label]
            confidence.append(some.answered(classifier.classes)[[not problem for problem in some.problems]])
            advance(len(some.names))
    predictions = ModelPredictions(np.array(labels, str), np.concatenate(confidence), "validation images")
    return replace(sample, predictions=predictions)


def _independent(project: Project, params: Params, manifest: pd.DataFrame, split: str) -> tuple[pd.DataFrame, int]:
    """Return rows of independent images of a split, a sample of very many, and how many images repeat another one."""
    table = read_splits(project, [split])[split].drop_duplicates("sha256")
    readable = manifest[manifest["left_out"] == ""]
    readable = readable.assign(group=group_images(readable, params.split.group_by).keys)
    images = readable.set_index("path").loc[table["path"]].reset_index()
    together = image_groups(images, read_near_duplicates(project.near_duplicates))
    names = together.set_index("sha256")["group"]
    groups = images["sha256"].map(names).fillna(images["sha256"]).to_numpy(str)
    chosen = one_per_group(list(images["sha256"]), groups, params.monitor.max_images)
    return images.iloc[chosen].reset_index(drop=True), len(images) - len(np.unique(groups))
