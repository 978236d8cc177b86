"""The inspection itself: scans data/, and finds what its report holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from graft.analysis.inspect import outliers
from graft.analysis.inspect import similar_pairs as alike
from graft.analysis.inspect.inspect_report import (
    ClassCount,
    Extremes,
    LabelCheck,
    LabelIssue,
    LeftOut,
    Outlier,
    Report,
    SimilarPair,
    Spread,
)
from graft.analysis.inspect.similarity import similar_pairs
from graft.analysis.labels import label_errors
from graft.analysis.probe import MIN_GROUPS, out_of_fold
from graft.core.errors import GraftError
from graft.core.params.models import Params, ValidateParams
from graft.core.params.train_params import TrainParams
from graft.core.progress import console
from graft.core.project import SPLITS, Project
from graft.data.folder.layout import read_layout
from graft.data.folder.versioning import dataset_name
from graft.data.scan.leaving_out import is_unreadable
from graft.data.scan.manifest import read_class_folders, read_manifest
from graft.data.scan.near_duplicates import Limits, find_near_duplicates
from graft.data.scan.scan_images import scan
from graft.data.splits.grouping import group_images, joined

if TYPE_CHECKING:
    import pandas as pd

# Labels are checked unasked where that takes about a minute. On two CPU cores MobileNetV2 takes 76 images of 224
# pixels a second, and five classifiers of 2,892 images in 150 classes take 41 seconds.
UNASKED_PIXELS = 200_000_000
UNASKED_PROBABILITIES = 500_000


def inspect_data(project: Project, params: Params, check_labels: bool | None = None) -> tuple[Report, pd.DataFrame]:
    """Scan data/ as it is now and report on it; the pipeline's own manifest is neither needed nor touched.

    Returns the report, and the images of the manifest that take part.

    Args:
        params: ``validate`` bounds the size of a picture, ``train`` names backbone and image size, ``split`` what
            belongs together.
        check_labels: whether to look for label errors; None does where it takes about a minute.

    Raises:
        GraftError: data/ is missing, holds no class folders, or not one readable image.
    """
    layout = read_layout(project.data)
    manifest = project.inspection / "manifest.parquet"
    scan(layout, params.validate_, manifest, project.scan_memory)
    everything = read_manifest(manifest, thumbnails=True)
    images = everything[everything["left_out"] == ""].reset_index(drop=True)
    if images.empty:
        raise GraftError(
            f"data/ holds no image that can be used ({len(everything)} files that cannot)",
            "Bring data in with `graft data use NAME` or `graft data import FOLDER`",
        )
    near_groups = _near_duplicate_groups(images, params.validate_)
    images = images.drop(columns="thumbnail")  # larger than all others together, and of no more use
    left_out = everything[everything["left_out"] != ""]
    labels, similar = _look_at_labels(project, params, images, near_groups, check_labels)
    log_sharpness = _log_sharpness(images)
    report = Report(
        dataset=dataset_name(project),
        images=len(images),
        bytes=int(everything["bytes"].sum()),
        splits=[split for split in SPLITS if split in set(layout.split_folders.values())] or [""],
        classes=_count(images, left_out, read_class_folders(manifest)),
        width=_spread(images["width"]),
        height=_spread(images["height"]),
        formats=_tally(images["format"]),
        modes=_tally(images["mode"]),
        brightness=_spread(images["brightness"]),
        sharpness=_spread(images["sharpness"]),
        left_out=[LeftOut(*row) for row in left_out[["path", "left_out"]].itertuples(index=False, name=None)],
        copies=alike.exact_copies(everything[~is_unreadable(everything["left_out"])]),
        near_duplicates=alike.near_duplicates(images, near_groups),
        darkest=_extremes(images, "brightness", images["brightness"].to_numpy(), low=True),
        brightest=_extremes(images, "brightness", images["brightness"].to_numpy(), low=False),
        blurriest=_extremes(images, "sharpness", log_sharpness, low=True),
        labels=labels,
        similar=similar,
    )
    return report, images


def label_check(images: pd.DataFrame, features: np.ndarray, groups: np.ndarray, seed: int, backbone: str) -> LabelCheck:
    """Search for label errors in images whose features are known.

    Args:
        features: float32 ``[N, D]``, one row per image.
        groups: what must not be torn apart, any values, ``[N]``.
        backbone: where the features come from, in words.
    """
    labels = images["label"].to_numpy(str)
    judged = out_of_fold(features, labels, groups, seed, "Checking labels, by fold")
    if not judged.folds:
        return LabelCheck(
            skipped=f"it takes two classes of at least {MIN_GROUPS} images (or groups) each, and "
            f"{'only one has' if judged.classes else 'none has'} as many"
        )
    pictures = alike.pictures(images)
    issues = [
        LabelIssue(
            picture=pictures[suspect.index],
            given_probability=suspect.given_probability,
            suggested=suspect.suggested,
            suggested_probability=suspect.suggested_probability,
        )
        for suspect in label_errors.find_suspects(labels, judged)
    ]
    notes = [
        f"Class '{label}' was left out: it has fewer than {MIN_GROUPS} images or groups." for label in judged.left_out
    ]
    missed = int(np.isin(labels, judged.classes).sum()) - len(judged.checked)
    if missed:
        notes.append(f"{missed:,} images were not checked: their group holds all of a class but for too little.")
    return LabelCheck(
        issues=issues,
        checked=len(judged.checked),
        folds=judged.folds,
        agreement=label_errors.agreement(labels, judged),
        backbone=backbone,
        notes=notes,
    )


def _look_at_labels(
    project: Project, params: Params, images: pd.DataFrame, near_groups: pd.Series, wanted: bool | None
) -> tuple[LabelCheck, list[SimilarPair]]:
    if wanted is False:
        return LabelCheck(skipped="--no-labels was given"), []
    too_much = _too_much_unasked(images, params.train)
    if wanted is None and too_much:
        return LabelCheck(skipped=f"{too_much}; --labels does it all the same"), []
    known = [images["sha256"].to_numpy(str), near_groups.to_numpy(str)]
    groups, notes = [*known], []
    if params.split.group_by not in ("none", "near_duplicates"):
        try:
            groups.append(group_images(images, params.split.group_by).keys.to_numpy(str))
        except GraftError as error:
            # The split will refuse this setting; here it is no reason to show nothing.
            notes.append(f"split.group_by was not used: {error.what}.")
    try:
        from graft.networks.decode_images import Photographs
        from graft.networks.features.embedder import Embedder

        embedder = Embedder(project, params.train)
        features = embedder.features(Photographs.of(project, images, embedder.image_size), "Features")
    except GraftError as error:
        return LabelCheck(skipped=str(error)), []
    check = label_check(images, features, joined(*groups), params.train.seed, embedder.name)
    check.notes.extend(notes)
    pictures = alike.pictures(images)
    with console.status("Comparing features"):
        pairs = similar_pairs(features, joined(*known))
    return check, [SimilarPair(pictures[i], pictures[j], cosine) for i, j, cosine in pairs]


def _too_much_unasked(images: pd.DataFrame, params: TrainParams) -> str:
    """Return why the search for label errors would take minutes; ``""`` where it would not."""
    classes = images["label"].nunique()
    # A backbone's own size is found only by building it; most were made for this one.
    size = 224 if params.image_size == "auto" else params.image_size
    if len(images) * size**2 > UNASKED_PIXELS:
        return f"{len(images):,} images of {size} pixels a side take more than a minute or so"
    if len(images) * classes > UNASKED_PROBABILITIES:
        return f"{len(images):,} images in {classes:,} classes take more than a minute or so"
    return ""


def _near_duplicate_groups(images: pd.DataFrame, params: ValidateParams) -> pd.Series:
    """Return the near-duplicate group of each image, with their index; an image without any is a group by itself."""
    found = find_near_duplicates(images, Limits.of(params))
    group_of = dict(zip(found["path"], found["group"], strict=True))
    return images["path"].map(group_of).fillna(images["sha256"])


def _log_sharpness(images: pd.DataFrame) -> np.ndarray:
    """Return the logarithm of the sharpness: as a variance it is skewed, and blur is a matter of factors."""
    sharpness = images["sharpness"].to_numpy(np.float64)
    positive = sharpness[sharpness > 0]
    return np.log(np.maximum(sharpness, positive.min() if len(positive) else 1.0))


def _extremes(images: pd.DataFrame, column: str, scale: np.ndarray, low: bool) -> Extremes:
    """Return the outliers of one column on one side; ``scale`` is the column as it is judged, ``[N]``."""
    limits = outliers.limits(scale)
    if limits is None:
        return Extremes([], None)
    scores = outliers.modified_z_scores(scale)
    order = np.argsort(scores if low else -scores, kind="stable")
    chosen = [i for i in order.tolist() if (scores[i] < -outliers.LIMIT if low else scores[i] > outliers.LIMIT)]
    pictures = alike.pictures(images.iloc[chosen])
    values = images[column].to_numpy(np.float64)
    limit = limits[0] if low else limits[1]
    return Extremes(
        [Outlier(picture, float(values[i]), float(scores[i])) for picture, i in zip(pictures, chosen, strict=True)],
        float(np.exp(limit)) if column == "sharpness" else limit,
    )


def _count(images: pd.DataFrame, left_out: pd.DataFrame, folders: list[str]) -> list[ClassCount]:
    counts = images.groupby(["label", "split"]).size()
    missing = left_out.groupby("label").size()
    return [
        ClassCount(
            label,
            {split: int(counts[label, split]) for split in ("", *SPLITS) if (label, split) in counts.index},
            int(missing.get(label, 0)),
        )
        for label in folders
    ]


def _spread(values: pd.Series) -> Spread:
    return Spread(float(values.min()), float(values.median()), float(values.max()))


def _tally(values: pd.Series) -> dict[str, int]:
    return {str(name): int(count) for name, count in values.value_counts().sort_index().items()}
