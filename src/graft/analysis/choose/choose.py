"""Choose settings: measure candidates within the time that is given, and fill in what params.yaml leaves to auto."""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from graft.analysis.choose.measure import Measured, measure
from graft.analysis.choose.plan import Candidate, measuring_seconds, plan
from graft.analysis.choose.select import Selection, select
from graft.core.errors import GraftError
from graft.core.paired import Difference, difference
from graft.core.params.backbone_params import KerasBackboneParams
from graft.core.params.choose_params import ChooseParams
from graft.core.progress import console
from graft.networks.decode_images import KeyedImages
from graft.networks.features.feature_store import FeatureStore

# Minutes for measuring and training 3,000 images on two CPU cores, by quality.
MINUTES = {"fast": 0.7, "good": 3.0, "best": 20.0}
USUAL_IMAGES = 3000
# Mirror images do harm where the log loss is higher by more than so many standard errors: answers on the mean of two
# views are now and then a little worse, those on mirrored letters much.
HARM = 2.0
# Of these minutes, for measuring; what is left is for training.
SHARE_FOR_MEASURING = 0.45


@dataclass(frozen=True)
class MeasuredImages:
    """The images that are measured on.

    Attributes:
        images_at: gives them at an image size, in order.
        labels: class indices, int ``[N]``.
        classes: labels in the order of the indices.
        groups: of each image, any values ``[N]``.
        median_side: of the shorter sides, in pixels.
        all_images: how many there are in train, val and test, of which these are a sample.
    """

    images_at: Callable[[int], KeyedImages]
    labels: np.ndarray
    classes: list[str]
    groups: np.ndarray
    median_side: float
    all_images: int


@dataclass(frozen=True)
class Choice:
    """The candidates that were measured, and the members that were selected among them.

    Attributes:
        measured: the candidates, in the order in which they were measured.
        selection: the members, see :class:`graft.analysis.choose.select.Selection`.
        mirror: how much better the answers are with mirror images; None where that was not measured.
        skipped: candidates that were not measured, with the reason.
        minutes: that were given in all.
        seconds: that measuring took.
        images: that were measured on.
        all_images: that there are.
    """

    measured: list[Measured]
    selection: Selection
    mirror: Difference | None
    skipped: list[tuple[Candidate, str]]
    minutes: float
    seconds: float
    images: int
    all_images: int

    @property
    def best(self) -> Measured:
        """Return the member of the largest weight."""
        index = max(self.selection.weights, key=lambda one: (self.selection.weights[one], -one))
        return self.measured[index]

    @property
    def flips_do_no_harm(self) -> bool:
        """Return whether mirror images make answers no worse, beyond the error; False where that was not measured."""
        return self.mirror is not None and self.mirror.gain >= -HARM * self.mirror.error


def minutes_for(params: ChooseParams, images: int) -> float:
    """Return the minutes for measuring and training ``images``."""
    if params.minutes != "auto":
        return float(params.minutes)
    return MINUTES[params.quality] * max(1.0, images / USUAL_IMAGES)


def choose(
    params: ChooseParams, default: KerasBackboneParams, sample: MeasuredImages, cache: Path, store: FeatureStore | None
) -> Choice:
    """Measure candidates until the time is up, the likely best first, and select members among them.

    Args:
        params: names the candidates, or leaves them to the quality.
        default: train.backbone, which is measured first.
        sample: the images.
        cache: folder of downloaded weights.
        store: the feature store, in which training finds the features again.

    Raises:
        GraftError: no candidate can be measured.
    """
    start = time.monotonic()
    minutes = minutes_for(params, sample.all_images)
    budget = minutes * 60 * SHARE_FOR_MEASURING
    measured: list[Measured] = []
    skipped: list[tuple[Candidate, str]] = []
    spent = 0.0

    def try_one(candidate: Candidate, always: bool = False) -> list[Measured]:
        nonlocal spent
        expected = measuring_seconds(candidate, len(sample.labels), len(sample.classes))
        if measured and not always and spent + expected > budget:
            left = max(budget - spent, 0)
            reason = f"would take {expected:.0f} s, and {left:.0f} of {budget:.0f} s for measuring are left"
            skipped.append((candidate, reason))
            return []
        try:
            found = measure(
                candidate,
                sample.images_at(candidate.image_size),
                sample.labels,
                len(sample.classes),
                sample.groups,
                params.folds,
                cache,
                store,
            )
        except GraftError as error:
            skipped.append((candidate, error.what))
            return []
        spent += expected
        measured.extend(found)
        best = min(measured, key=lambda one: one.log_loss)
        for one in found:
            console.print(
                f"{one.candidate.name}: {one.accuracy:.1%} right, log loss {one.log_loss:.4f} ({one.seconds:.0f} s)",
                soft_wrap=True,
                markup=False,
            )
        console.print(f"  best so far: {best.candidate.name}", soft_wrap=True, markup=False)
        return found

    for candidate in plan(params, default, sample.median_side):
        try_one(candidate)
    if not measured:
        raise GraftError(
            f"No backbone can be measured: {skipped[0][1]}",
            "Name one under choose.backbones in params.yaml whose weights can be had here",
        )
    selection = select(measured, sample.labels, sample.groups, params.most_members)
    mirror = _try_mirrored(measured, selection, sample, try_one) if params.quality != "fast" else None
    if mirror is not None:
        selection = select(measured, sample.labels, sample.groups, params.most_members)
    return Choice(
        measured, selection, mirror, skipped, minutes, time.monotonic() - start, len(sample.labels), sample.all_images
    )


def _try_mirrored(
    measured: list[Measured],
    selection: Selection,
    sample: MeasuredImages,
    try_one: Callable[[Candidate, bool], list[Measured]],
) -> Difference | None:
    """Measure the members with mirror images too; return how much better the best one answers with them."""
    found = None
    done: set[Candidate] = set()
    for index in sorted(selection.weights, key=lambda one: -selection.weights[one]):
        plain = measured[index]
        mirrored = replace(plain.candidate, pooling="average", mirrored=True)
        if mirrored in done:
            continue
        # The first whatever it takes: training has to know whether mirror images are of the same class.
        tried = try_one(mirrored, not done)
        done.add(mirrored)
        twins = [one for one in tried if one.candidate.pooling == plain.candidate.pooling]
        if not twins:
            break
        if found is None:
            found = difference(twins[0].losses, plain.losses, sample.groups)
            if found.gain < -HARM * found.error:
                break  # a mirrored 7, letter or sign is another thing: no use in trying further
    return found


def draw(labels: np.ndarray, groups: np.ndarray, most: int, seed: int) -> np.ndarray:
    """Return the rows of a sample of at most about ``most`` images: whole groups, each class in its share; sorted.

    Which groups come first follows from their names: where images come later, nearly all of the sample stays, and with
    it what was computed of it.

    Args:
        labels: class indices ``[N]``.
        groups: of each image, names or numbers ``[N]``.
        most: images.
        seed: of the draw.
    """
    count = len(labels)
    if count <= most:
        return np.arange(count)
    names, numbers = np.unique(groups, return_inverse=True)
    hashes = [hashlib.sha256(f"{seed} {name}".encode()).hexdigest() for name in names.tolist()]
    shuffled = np.argsort(np.argsort(hashes))
    rows = np.argsort(shuffled[numbers], kind="stable")  # whole groups one after the other
    wanted = np.maximum(np.bincount(labels) * most // count, 10)
    taken = np.zeros(len(wanted), np.int64)
    chosen = []
    for group in np.split(rows, np.flatnonzero(np.diff(shuffled[numbers][rows])) + 1):
        classes = labels[group]
        if (taken[classes] < wanted[classes]).any():
            chosen.append(group)
            taken += np.bincount(classes, minlength=len(wanted))
    return np.sort(np.concatenate(chosen))


def tried_table(choice: Choice | None) -> pd.DataFrame:
    """Return a row for each candidate, with its weight, and for each that was left out, why; none without a choice."""
    columns = ["candidate", "accuracy", "log_loss", "seconds", "multiply_adds", "weight", "left_out"]
    if choice is None:
        return pd.DataFrame(columns=columns)
    rows = [
        {
            "candidate": one.candidate.name,
            "accuracy": one.accuracy,
            "log_loss": one.log_loss,
            "seconds": one.seconds,
            "multiply_adds": one.candidate.multiply_adds * 1e9,
            "weight": choice.selection.weights.get(index, 0.0),
            "left_out": "",
        }
        for index, one in enumerate(choice.measured)
    ]
    rows += [
        {"candidate": candidate.name, "multiply_adds": candidate.multiply_adds * 1e9, "weight": 0.0, "left_out": reason}
        for candidate, reason in choice.skipped
    ]
    return pd.DataFrame(rows, columns=columns)
