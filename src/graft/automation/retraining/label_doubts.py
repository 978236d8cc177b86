"""Judge whether the labels of a delivery are in doubt, before its images go into data/.

Hard images that are labelled right are what a model gains most from, and no classifier can tell one of them from a
wrong label. So no single image is doubted; what is looked for is a class of a delivery that was mixed up with another,
as a folder under a wrong name is. An image speaks against its label only where all of this holds:

- A linear probe on frozen features takes it for another class, as surely as it takes known images of that class that
  it was not trained on: their mean probability is the threshold of confident learning (C. G. Northcutt, L. Jiang and
  I. L. Chuang, https://doi.org/10.1613/jair.1.12125).
- It looks like what is known: as near to a known image of that other class as those are to each other, and neither
  darker, brighter, blurrier nor noisier than known images. Of images unlike those of training, a classifier is often
  wrong and sure of it (D. Hendrycks and K. Gimpel, https://arxiv.org/abs/1610.02136).
- It leans to the other class at least as far as half of the delivery's own images that bear that label, where there
  are a few. What another camera does to images moves those of all classes alike, and seldom their order.

A class is in doubt where such images are many of it, and more than chance would bring: by a binomial test against the
share of known images that would speak against theirs. What the limits cost and save is in docs/retraining-checks.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from graft.automation.retraining.checking import CheckedDelivery
from graft.automation.retraining.known_images import ExistingImages
from graft.core.errors import GraftError
from graft.core.params.models import Params
from graft.core.project import Project

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.pipeline import Pipeline

    from graft.networks.features.embedder import Embedder

# That a delivery of right labels is doubted, were its images independent; shared by its classes (Bonferroni).
LEVEL = 0.001
# Of the known images of a class, those that would count as near to each other.
NEAR_SHARE = 0.95
# Of the known images, the darkest and brightest, blurriest and sharpest that are left out of what counts as usual: a
# black frame among them would otherwise make all darkness usual.
ODD_SHARE = 0.005
# Of a label in a delivery, below which they are no measure for other images: of fewer, half is one or two.
MIN_BEARERS = 5
# Images of a class that speak against their label: fewer may be one scene, photographed twice.
MIN_DOUBTFUL = 3
# Probe and distances then take seconds to a minute, and distances 32 MB.
MOST_KNOWN = 2000
_EXAMPLES = 3
_LOOKS = ["brightness", "sharpness"]


@dataclass(frozen=True)
class Images:
    """Labelled images in numbers.

    Attributes:
        features: of a frozen network, float32 ``[N, D]``.
        labels: names, str ``[N]``.
        looks: brightness, sharpness and the like, float ``[N, L]``; ``L`` may be 0.
    """

    features: np.ndarray
    labels: np.ndarray
    looks: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def some(self, rows: np.ndarray) -> Images:
        """Return the images of some rows."""
        return Images(self.features[rows], self.labels[rows], self.looks[rows])


@dataclass(frozen=True)
class Doubt:
    """A class of a delivery whose label is in doubt; as text, a sentence without its full stop.

    Attributes:
        label: the class.
        images: how many the delivery has of it.
        doubtful: how many of these speak against their label.
        suggested: what most of those look like.
        alike: how many of them look like that.
        examples: indices of a few of these, the clearest first.
        example: the path of the first one, for messages.
    """

    label: str
    images: int
    doubtful: int
    suggested: str
    alike: int
    examples: list[int]
    example: str = ""

    def __str__(self) -> str:
        who = f"{self.doubtful} of {self.images} images labelled '{self.label}' look like"
        if self.alike == self.doubtful:
            what = f"'{self.suggested}'"
        else:
            what = f"other classes, {self.alike} of them like '{self.suggested}'"
        return f"{who} {what}" + (f", for example {self.example}" if self.example else "")


@dataclass(frozen=True)
class Judge:
    """A judge of labels, taught from existing images once, for any number of deliveries.

    Attributes:
        classes: those that a classifier can separate, sorted; about the others nothing is said.
        known: existing images of these.
        probe: gives probabilities of the classes.
        sure: least probability of each class with which an image is taken for it, ``[C]``.
        near: largest distance to a known image of each class at which an image looks like it, ``[C]``.
        usual: least and largest value of each look, ``[2, L]``.
        rates: of each class, the share of known images that speak against their label, ``[C]``.
    """

    classes: list[str]
    known: Images
    probe: Pipeline
    sure: np.ndarray
    near: np.ndarray
    usual: np.ndarray
    rates: np.ndarray

    @classmethod
    def taught(cls, known: Images, groups: np.ndarray, seed: int) -> Judge | None:
        """Return a judge taught from ``known`` images; None where a classifier can separate no two classes.

        Args:
            groups: which of them belong together, any values ``[N]``.
        """
        from graft.analysis.probe import fit_probe, out_of_fold

        unseen = out_of_fold(known.features, known.labels, groups, seed)
        classes = unseen.classes
        rows = np.flatnonzero(np.isin(known.labels, classes))
        known, groups = known.some(rows), groups[rows]
        given, judged = np.searchsorted(classes, known.labels), np.searchsorted(rows, unseen.checked)
        if len(classes) < 2 or len(np.unique(given[judged])) < len(classes):
            return None
        each = range(len(classes))
        sure = np.array([unseen.probabilities[given[judged] == of, of].mean() for of in each])
        # The same group is left out: a frame is always near to the next one of its film.
        apart = _nearest(known, known, classes, groups[:, None] == groups[None])
        near = np.array([np.quantile(apart[given == of, of], NEAR_SHARE) for of in each])
        taken, row = unseen.probabilities.argmax(axis=1), np.arange(len(judged))
        speaks = (taken != given[judged]) & (unseen.probabilities[row, taken] >= sure[taken])
        speaks &= apart[judged, taken] <= near[taken]
        # Laplace's rule of succession: none in so many is not none for ever.
        counts = np.bincount(given[judged], minlength=len(classes))
        rates = (np.bincount(given[judged], speaks, len(classes)) + 1) / (counts + 2)
        usual = np.quantile(known.looks, [ODD_SHARE, 1 - ODD_SHARE], axis=0)
        return cls(classes, known, fit_probe(known.features, given), sure, near, usual, rates)

    def doubts(self, new: Images, max_share: float) -> list[Doubt]:
        """Return the classes of one delivery whose labels are in doubt, by name.

        Args:
            max_share: of the images of a class that may speak against their label.
        """
        from scipy.stats import binom

        judged = np.flatnonzero(np.isin(new.labels, self.classes))
        if not len(judged):
            return []
        new = new.some(judged)
        given = np.searchsorted(self.classes, new.labels)
        taken, lean, speaks = self._heard(new, given)
        found = []
        present = np.unique(given)
        for label in present:
            mine = given == label
            images, doubtful = int(mine.sum()), int(speaks[mine].sum())
            if doubtful < MIN_DOUBTFUL or doubtful <= max_share * images:
                continue
            if binom.sf(doubtful - 1, images, self.rates[label]) > LEVEL / len(present):
                continue
            suggested, alike = Counter(taken[mine & speaks].tolist()).most_common(1)[0]
            such = np.flatnonzero(mine & speaks & (taken == suggested))
            clearest = such[np.argsort(-lean[such], kind="stable")][:_EXAMPLES]
            found.append(
                Doubt(self.classes[label], images, doubtful, self.classes[suggested], alike, judged[clearest].tolist())
            )
        return found

    def _heard(self, new: Images, given: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return each image's likely class, how far it leans to that, and whether it speaks against the label given."""
        rows = np.arange(len(new))
        probabilities = self.probe.predict_proba(new.features)
        taken = probabilities.argmax(axis=1)
        logs = np.log(np.maximum(probabilities, np.finfo(np.float64).tiny))
        lean = logs[rows, taken] - logs[rows, given]
        speaks = (taken != given) & (probabilities[rows, taken] >= self.sure[taken])
        speaks &= _nearest(new, self.known, self.classes)[rows, taken] <= self.near[taken]
        speaks &= ((new.looks >= self.usual[0]) & (new.looks <= self.usual[1])).all(axis=1)
        for row in np.flatnonzero(speaks):
            bearers = logs[given == taken[row]]
            if len(bearers) >= MIN_BEARERS:
                speaks[row] = lean[row] >= np.median(bearers[:, taken[row]] - bearers[:, given[row]])
        return taken, lean, speaks


def _nearest(images: Images, known: Images, classes: Sequence[str], without: np.ndarray | None = None) -> np.ndarray:
    """Return each image's distance ``[N, C]`` to the nearest known one of each class, ``without`` pairs ``[N, K]``."""
    from sklearn.metrics.pairwise import euclidean_distances

    distances = euclidean_distances(images.features, known.features)
    if without is not None:
        distances[without] = np.inf
    return np.stack([distances[:, known.labels == name].min(axis=1) for name in classes], axis=1)


class DeliveryLabelCheck:
    """The check of a delivery's labels, prepared when the first delivery needs it.

    Known labels are those of images that the last split has in train and val: none of test has a say in what is
    trained on. Before the first split nothing is doubted, nor where less than two classes have a few images that do
    not belong together. Features go into the feature store, where training finds them.
    """

    def __init__(self, project: Project, params: Params, existing: ExistingImages) -> None:
        self._project, self._params, self._known = project, params, existing

    def doubts(self, checked: CheckedDelivery) -> list[Doubt]:
        """Return the classes of a delivery whose labels are in doubt; indices are of its images.

        Raises:
            GraftError: the backbone or its weights cannot be had, an image is gone meanwhile, or ``split.group_by``
                fits no image.
        """
        if self._judge is None:
            return []
        judge, embedder = self._judge
        new = _delivered(checked, embedder, self._params.validate_.max_pixels)
        found = judge.doubts(new, self._params.retrain.deliveries.max_doubtful_share)
        return [_with_example(doubt, checked, self._known.train_folder) for doubt in found]

    @cached_property
    def _judge(self) -> tuple[Judge, Embedder] | None:
        rows = _known_images(self._project, self._params, self._known)
        if rows.empty:
            return None
        from graft.networks.features.embedder import Embedder

        embedder = Embedder(self._project, self._params.train)
        groups = _groups(rows, self._params)
        looks = rows[_LOOKS].to_numpy(np.float64)
        files = [self._project.data / path for path in rows["path"]]
        features = _features(embedder, files, list(rows["sha256"]), "Known images")
        reference = Images(features, rows["label"].to_numpy(str), looks)
        judge = Judge.taught(reference, groups, self._params.train.seed)
        return (judge, embedder) if judge else None


def _known_images(project: Project, params: Params, existing: ExistingImages) -> pd.DataFrame:
    """Return rows of the manifest, of train and val of the last split; of very many, those with the smallest hashes."""
    from graft.data.splits.split_tables import read_split_table

    tables = [project.split_table(split) for split in ("train", "val")]
    believed = {digest for table in tables if table.is_file() for digest in read_split_table(table)["sha256"]}
    images = existing.images[existing.images["sha256"].isin(believed - set(existing.test))]
    return images.drop_duplicates("sha256").sort_values("sha256").head(MOST_KNOWN).reset_index(drop=True)


def _groups(rows: pd.DataFrame, params: Params) -> np.ndarray:
    """Return which images belong together, as in training: by ``split.group_by``, or as near-duplicates."""
    from graft.data.scan.near_duplicates import Limits, find_near_duplicates
    from graft.data.splits.grouping import group_images
    from graft.data.splits.image_groups import image_groups

    images = rows.assign(group=group_images(rows, params.split.group_by).keys)
    together = image_groups(images, find_near_duplicates(images, Limits.of(params.validate_)))
    groups = images["sha256"].map(together.set_index("sha256")["group"]).fillna(images["sha256"])
    return groups.to_numpy(str)


def _delivered(checked: CheckedDelivery, embedder: Embedder, max_pixels: int) -> Images:
    from graft.deployment.monitor.observation import observe_all
    from graft.deployment.predict.inputs import PhotographFiles

    files = [image.file for image in checked.images]
    stream = PhotographFiles(lambda: iter(files)).read()
    seen = [image for _, image in observe_all(stream, max_pixels, [])]
    for file, image in zip(files, seen, strict=True):
        if image.problem:
            raise GraftError(f"{file} cannot be read any more ({image.problem})", "Leave it in place and run it again")
    features = _features(
        embedder, files, [image.sha256 for image in checked.images], f"Images of {checked.delivery.name}"
    )
    looks = np.array([[getattr(image, look) for look in _LOOKS] for image in seen], np.float64)
    return Images(features, np.array([image.label for image in checked.images]), looks)


def _features(embedder: Embedder, files: Sequence[Path], sha256: Sequence[str], label: str) -> np.ndarray:
    """Return the features under the keys, and from the pixels, that training takes them by."""
    from graft.networks.decode_images import Photographs

    root = Path(files[0].anchor)
    paths = [file.relative_to(root).as_posix() for file in files]
    return embedder.features(Photographs(root, paths, sha256, embedder.image_size), label)


def _with_example(doubt: Doubt, checked: CheckedDelivery, train_folder: str) -> Doubt:
    """Return the doubt with its first example's path in the delivery, without the folders around the classes."""
    image = checked.images[doubt.examples[0]]
    place = PurePosixPath(image.target).relative_to(train_folder).with_name(image.file.name)
    return replace(doubt, example=f"{checked.delivery.name}/{place}")
