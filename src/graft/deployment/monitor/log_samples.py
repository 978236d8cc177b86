"""The two sides of a comparison: images that are independent of each other, with all their figures.

Tests take images for independent. Frames of one film are not: a hundred of them say as much as one, and tests that
count a hundred call chance a difference. So of images that belong together one stands for all, on both sides. Which
belong together is known of the training images (what the split keeps together, and near-duplicates); of recent
images, near-duplicates are found, and what else belongs together is not known.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from graft.data.scan.near_duplicates import Limits, components
from graft.deployment.monitor.observation import Observation

# One figure per image, compared as such.
FIGURES = ("brightness", "sharpness", "width", "height")


@dataclass(frozen=True)
class ModelPredictions:
    """The predictions of a model for images.

    Attributes:
        labels: the answer for each, a class or ``unknown``, str ``[N]``.
        confidence: its probability, of ``unknown`` that of the best class, float ``[N]``.
        images: of what, in words.
    """

    labels: np.ndarray
    confidence: np.ndarray
    images: str


@dataclass(frozen=True)
class Sample:
    """Independent images of one side.

    Attributes:
        figures: by name of :data:`FIGURES`, float ``[N]``.
        seen: images observed, before any was left out.
        unreadable: how many of these could not be read.
        repeats: readable images that repeat, or nearly, one that is in the sample, and are left out for that.
        passed_over: images that there were besides, beyond ``monitor.max_images``: nobody looked at them.
        features: float32 ``[M, D]``, where there are any; M is less than N where a log keeps some of them only.
        predictions: where there are any; on the training side of other images, see
            :mod:`graft.deployment.monitor.reference`.
        missing: why features or predictions are not there, by the name of the check.
        partial: of how many images they are, where not of all, by the name of the check.
        thumbnails: names and small pictures ``[S, S, 3]`` of the first images in ``features``; may be empty.
        period: when the first and the last image was logged, UTC; None where that is not known.
    """

    figures: dict[str, np.ndarray]
    seen: int
    unreadable: int
    repeats: int = 0
    passed_over: int = 0
    features: np.ndarray | None = None
    predictions: ModelPredictions | None = None
    missing: dict[str, str] = field(default_factory=dict)
    partial: dict[str, str] = field(default_factory=dict)
    thumbnails: tuple[Sequence[str], Sequence[np.ndarray]] = ((), ())
    period: tuple[datetime, datetime] | None = None

    def __len__(self) -> int:
        return len(self.figures["brightness"])

    @property
    def readable(self) -> int:
        """Images that could be read, repeats included."""
        return self.seen - self.unreadable

    def counts(self) -> dict[str, int]:
        """Return how many images were compared, and how many were left out for what, JSON-ready."""
        names = ("seen", "unreadable", "repeats", "passed_over")
        return {"images": len(self), **{name: getattr(self, name) for name in names}}


def one_per_group(sha256: Sequence[str], groups: np.ndarray, most: int) -> np.ndarray:
    """Return indices of independent images, rising: of each group the one with the smallest hash, at most ``most``.

    Hashes are as good as dice, and the choice moves little as the images grow in number.

    Args:
        groups: any values, ``[N]``.
        most: of more, those with the smallest hashes.
    """
    order = np.array(sorted(range(len(sha256)), key=lambda index: sha256[index]), int)
    _, first = np.unique(groups[order], return_index=True)
    return np.sort(order[np.sort(first)[:most]])


def repeats_among(images: Sequence[Observation], limits: Limits) -> np.ndarray:
    """Return groups of near-duplicates among readable images, int ``[N]``.

    Where thumbnails were not stored, as in a log, perceptual hashes alone decide.
    """
    if not images:
        return np.empty(0, int)
    hashes = np.array([int(image.phash, 16) for image in images], np.uint64)
    blank = bytes(8 * 8 * 3)
    joined = b"".join(image.thumbnail or blank for image in images)
    return components(hashes, np.frombuffer(joined, np.uint8).reshape(len(images), -1), limits)
