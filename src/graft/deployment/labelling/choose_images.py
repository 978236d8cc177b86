"""Choose images for a person to look at: from files, from the prediction log, or from what inspection found."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from graft.bundle.decisions import label_names
from graft.bundle.images import UnreadableImageError
from graft.core.errors import GraftError
from graft.core.files import sha256_of
from graft.core.progress import console
from graft.core.project import Project
from graft.data.scan.manifest import read_manifest
from graft.deployment.labelling.labelling_task import Item, LabellingTask
from graft.deployment.labelling.worth_labelling import worth_labelling

if TYPE_CHECKING:
    from graft.analysis.inspect.inspect_report import Report
    from graft.bundle.model import ImageClassifier
    from graft.deployment.monitor.prediction_log import PredictionLog

CHUNK = 64


def logged_images(log: PredictionLog) -> Iterator[tuple[str, str, bytes]]:
    """Yield SHA-256, name and bytes of each image that a log has kept.

    Raises:
        GraftError: there is no log, or it keeps no images.
    """
    hashes = list(dict.fromkeys(row.image.sha256 for row in log.read(newest_first=True) if not row.image.problem))
    found = False
    for sha256, data in zip(hashes, log.images(hashes), strict=True):
        if data is not None:
            found = True
            yield sha256, f"{sha256[:16]}{_suffix(data)}", data
    if not found:
        raise GraftError(
            f"The prediction log in {log.folder} keeps no images", "Set monitor.log.keep_images, or name a folder"
        )


def files_named(texts: Sequence[str]) -> Iterator[tuple[str, str, bytes]]:
    """Yield SHA-256, name and bytes of each image in files, folders and archives."""
    import hashlib

    from graft.deployment.predict.inputs import find_photographs

    for some in find_photographs(texts):
        for photograph in some.read():
            try:
                data = photograph.read()
            except UnreadableImageError:
                continue
            yield hashlib.sha256(data).hexdigest(), Path(photograph.name).name, data


def choose_to_label(
    project: Project, folder: Path, images: Iterable[tuple[str, str, bytes]], classifier: ImageClassifier, count: int
) -> LabellingTask:
    """Write the task of the images that are worth a label: uncertain, and unlike each other.

    Images of data/ are passed over, as are those that cannot be read. Features are those of the first network that has
    some; without any, probabilities stand for them.

    Raises:
        GraftError: there is no image that is new.
    """
    known = set(read_manifest(project.manifest, columns=("sha256",))["sha256"]) if project.manifest.is_file() else set()
    rows, features, probabilities = [], [], []
    stream = iter(images)
    with console.status("Looking at the images"):
        while chunk := list(islice(stream, CHUNK)):
            new = []
            for sha256, name, data in chunk:
                if sha256 in known:
                    continue
                known.add(sha256)
                try:
                    new.append(((sha256, name, data), classifier.to_pixels(data)))
                except UnreadableImageError:
                    continue
            if not new:
                continue
            pixels = {size: np.stack([one[size] for _, one in new]) for size in classifier.image_sizes}
            found, indices = classifier.answers(pixels)
            labels = label_names(classifier.classes, indices)
            rows += [(seen, label) for (seen, _), label in zip(new, labels, strict=True)]
            probabilities.append(found)
            features.append(_features(classifier, pixels, found))
    if not rows:
        raise GraftError("There is no image that data/ does not have already", "Name other images")
    p = np.concatenate(probabilities)
    task = LabellingTask(folder, "label", list(classifier.classes))
    for index in worth_labelling(np.concatenate(features), p, count):
        (sha256, name, data), label = rows[index]
        best = float(p[index].max())
        why = "but maybe none of the classes" if label not in classifier.classes else f"{best:.0%} sure"
        suggested = classifier.classes[int(p[index].argmax())]
        task.add(data, Item(sha256, "", name, suggested, best, why))
    task.write()
    return task


def choose_to_inspect(project: Project, folder: Path, report: Report, classes: Sequence[str]) -> LabellingTask:
    """Write the task of the images of data/ that inspection calls in doubt: labels, copies and near-duplicates."""
    task = LabellingTask(folder, "inspect", list(classes))
    doubts: dict[str, tuple[str, str, float]] = {}
    for issue in report.labels.issues:
        why = f"more likely {issue.suggested} ({issue.suggested_probability:.0%})"
        doubts.setdefault(issue.picture.path, (issue.picture.label, why, issue.given_probability))
    for alike in [*report.copies, *report.near_duplicates]:
        if alike.conflicts:
            others = ", ".join(alike.labels)
            for picture in alike.pictures:
                doubts.setdefault(picture.path, (picture.label, f"the same picture under {others}", 0.0))
    asked: set[str] = set()
    for path, (label, why, probability) in doubts.items():
        file = project.data / path
        if (sha256 := sha256_of(file)) not in asked:  # of copies one is asked about, and the answer is for all
            asked.add(sha256)
            task.add(file.read_bytes(), Item(sha256, "", path, label, probability, why))
    if not task.items:
        raise GraftError("Inspection found no label in doubt and no copies in two classes", "There is nothing to do")
    task.write()
    return task


def _features(classifier: ImageClassifier, pixels: dict[int, np.ndarray], probabilities: np.ndarray) -> np.ndarray:
    from graft.bundle.decisions import FEATURES_FILE

    for part in classifier.parts:
        if (part.bundle / FEATURES_FILE).is_file():
            return part.network.with_features(pixels[part.image_size])[1]
    return probabilities


def _suffix(data: bytes) -> str:
    from graft.bundle.images import open_image

    kind = str(open_image(data, 10**9).format or "").lower()
    return f".{kind}" if kind else ""


def labelling_folder(project: Project) -> Path:
    """Return where what is to be labelled lies."""
    return project.state / "labelling" / "task"
