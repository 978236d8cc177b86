"""Decide whether a delivery can go into data/, and which of its images.

An image is left out, with its reason, where the pipeline would leave it out (:mod:`graft.data.scan.leaving_out`);
where its class is not one that data/ knows or that the delivery adds (data_changes.py); where the same bytes lie under
another label; or where it is a near-duplicate of a test image, since a model that learns such an image would be tested
on what it has learned. What data/ holds already is passed over. A delivery is refused as a whole where it cannot be
opened, holds no images, or where too many of them are left out: then whoever made it should look at it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from graft.automation.retraining.data_changes import DataChanges, effective, split_off
from graft.automation.retraining.deliveries import Delivery
from graft.automation.retraining.known_images import ExistingImages
from graft.automation.retraining.unpacking import LeftOutFile, Unpacked, unpack
from graft.core.errors import GraftError
from graft.core.files import sha256_of
from graft.core.params.models import ValidateParams
from graft.core.params.retrain_params import DeliveryParams
from graft.data.folder.layout import Layout
from graft.data.scan.leaving_out import kind_of
from graft.data.scan.manifest import read_manifest
from graft.data.scan.near_duplicates import Limits, find_near_duplicates
from graft.data.scan.scan_images import scan

if TYPE_CHECKING:
    import pandas as pd

_REASONS_NAMED = 4


@dataclass(frozen=True)
class NewImage:
    """An image for data/.

    Attributes:
        file: where its bytes are now.
        target: where they shall be, below data/, with forward slashes.
        label: its class.
        sha256: of its bytes.
    """

    file: Path
    target: str
    label: str
    sha256: str


@dataclass
class CheckedDelivery:
    """The findings of the check of a delivery.

    Attributes:
        delivery: the delivery.
        images: for data/.
        left_out: files that are not, each with the reason.
        known: images that data/ holds already, or that the delivery holds twice.
        refused: why nothing of it is taken, a sentence each; empty where it is accepted.
        notes: what else a person should know, a sentence each.
        sha256: of all images that the delivery holds in class folders.
        archives: SHA-256 of the archives that the delivery consists of.
        changes: what it says of images of data/.
        set_aside: the pipeline is asked about others first.
    """

    delivery: Delivery
    images: list[NewImage] = field(default_factory=list)
    left_out: list[LeftOutFile] = field(default_factory=list)
    known: int = 0
    refused: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    sha256: set[str] = field(default_factory=set)
    archives: set[str] = field(default_factory=set)
    changes: DataChanges = field(default_factory=DataChanges)
    set_aside: bool = False

    @property
    def brings_something(self) -> bool:
        """Return whether taking the delivery in changes data/."""
        return bool(self.images or self.changes)

    @property
    def in_words(self) -> str:
        """Return what the delivery brings in words, such as ``3 new images, 1 label corrected``."""
        count = len(self.images)
        new = [f"{count} new images"] if count or not self.changes else []
        return ", ".join([*new, *self.changes.in_words()])

    @property
    def accepted(self) -> bool:
        return not self.refused

    @property
    def pictures_left_out(self) -> list[LeftOutFile]:
        """Return the photographs of the delivery that do not go into data/."""
        return [one for one in self.left_out if one.is_picture]

    @property
    def counts(self) -> dict[str, int]:
        """New images by class."""
        return dict(sorted(Counter(image.label for image in self.images).items()))


def check_delivery(
    delivery: Delivery, folder: Path, existing: ExistingImages, rules: ValidateParams, params: DeliveryParams
) -> CheckedDelivery:
    """Unpack a delivery and check each of its images.

    Args:
        folder: where its files are unpacked to; they are needed until data/ has them.
        existing: what data/ holds, and what was accepted before; see
        :meth:`graft.automation.retraining.known_images.ExistingImages.accept`.
    """
    checked = CheckedDelivery(delivery)
    try:
        unpacked = unpack(delivery, folder, existing.classes, bool(existing.train_folder))
        checked.archives = {sha256_of(path) for path in delivery.paths if path.is_file()}
        changes, astray = split_off(unpacked.astray)
        checked.changes, notes = effective(changes, existing.labels, existing.withdrawn)
    except GraftError as error:
        checked.refused.append(_as_delivered(str(error), delivery))
        return checked
    checked.left_out += astray
    checked.notes += notes
    total = len(unpacked.images) + len(checked.pictures_left_out)
    if not total and changes.files:
        return checked
    if not total:
        checked.refused.append("It holds no images.")
        return checked
    if unpacked.images:
        scan(Layout(unpacked.folder, {}), rules, folder / "manifest.parquet")
        _sort_out(checked, unpacked, read_manifest(folder / "manifest.parquet", thumbnails=True), existing, rules)
    bad = checked.pictures_left_out
    if len(bad) > params.max_bad_share * total:
        checked.refused.append(f"{len(bad)} of its {total} images cannot be used: {in_short(bad)}.")
        checked.images = []
    return checked


def in_short(left_out: Sequence[LeftOutFile]) -> str:
    """Return the most frequent reasons, each with a number and an example."""
    examples = {kind_of(one.why): one for one in reversed(left_out)}
    found = Counter(kind_of(one.why) for one in left_out).most_common()
    words = [
        f"{count} {kind} (such as {examples[kind].path}{examples[kind].why.removeprefix(kind)})"
        for kind, count in found[:_REASONS_NAMED]
    ]
    more = sum(count for _, count in found[_REASONS_NAMED:])
    return "; ".join([*words, *([f"{more} for other reasons"] if more else [])])


def _as_delivered(sentence: str, delivery: Delivery) -> str:
    """Name files as whoever delivered them knows them: they lie elsewhere when somebody reads that."""
    for path in delivery.paths:
        sentence = sentence.replace(str(path), path.name)
    return sentence


def _sort_out(
    checked: CheckedDelivery, unpacked: Unpacked, rows: pd.DataFrame, existing: ExistingImages, rules: ValidateParams
) -> None:
    checked.sha256 = set(rows["sha256"])
    labels_here: dict[str, set[str]] = {}
    for sha256, label in zip(rows["sha256"], rows["label"], strict=True):
        labels_here.setdefault(sha256, set()).add(label)
    beside_test = _near_test(rows, existing, rules)
    taken: set[str] = set()
    places: set[str] = set()
    for row in rows.drop(columns="thumbnail").to_dict("records"):
        place, sha256 = row["path"], row["sha256"]
        path = unpacked.images[place]
        found = next(_problems(row, existing, labels_here[sha256], beside_test, checked.changes.classes), None)
        if found:
            checked.left_out.append(LeftOutFile(unpacked.folder / place, path, found))
        elif sha256 in existing.labels or sha256 in taken:
            checked.known += 1
        else:
            taken.add(sha256)
            target = _free_place(place, sha256, existing, places)
            places.add(target.casefold())
            checked.images.append(NewImage(unpacked.folder / place, target, row["label"], sha256))


def _problems(
    row: Mapping[Hashable, Any],
    existing: ExistingImages,
    labels_here: set[str],
    beside_test: dict[str, str],
    added: Collection[str],
) -> Iterator[str]:
    """Yield the reasons to leave an image out, the gravest first."""
    if len(labels_here) > 1:
        yield f"there under several labels: {', '.join(sorted(labels_here))}"
    if row["left_out"]:
        yield row["left_out"]
    if row["sha256"] in existing.withdrawn:
        yield "withdrawn before"
    if row["label"] not in existing.classes and row["label"] not in added:
        yield f"of the class '{row['label']}', which data/ does not know ({', '.join(existing.classes)})"
    if (other := existing.labels.get(row["sha256"], row["label"])) != row["label"]:
        yield f"labelled '{row['label']}', and in data/ with the same bytes '{other}'"
    if twin := beside_test.get(row["sha256"]):
        yield f"nearly the same as the test image {twin}"


def _near_test(rows: pd.DataFrame, existing: ExistingImages, rules: ValidateParams) -> dict[str, str]:
    """Return the path of a test image for each new image that is nearly the same, by its SHA-256."""
    import pandas as pd

    test = existing.images[existing.images["sha256"].isin(existing.test)]
    new = rows[~rows["sha256"].isin(set(existing.images["sha256"]))]
    if test.empty or new.empty:
        return {}
    groups = find_near_duplicates(pd.concat([test, new], ignore_index=True), Limits.of(rules))
    twins = groups[groups["sha256"].isin(existing.test)].drop_duplicates("group").set_index("group")["path"]
    near = groups[groups["sha256"].isin(set(new["sha256"])) & groups["group"].isin(twins.index)]
    return dict(zip(near["sha256"], near["group"].map(twins), strict=True))


def _free_place(path: str, sha256: str, existing: ExistingImages, places: Collection[str]) -> str:
    """Return where an image goes below data/: as it lay in the delivery, under another name where that is taken.

    The name stays as it is otherwise, since a regular expression in ``split.group_by`` may read the group from it.
    """
    place = PurePosixPath(existing.train_folder, path)
    if (name := place.as_posix().casefold()) in existing.paths or name in places:
        place = place.with_name(f"{place.stem}_{sha256[:8]}{place.suffix}")
    return place.as_posix()
