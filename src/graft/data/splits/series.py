"""Find series of images: frames of one film, views of one thing, slices of one patient, changed copies of a photograph.

Whoever tests on some frames of a film and trains on the others measures memory. Names often tell what is of one series,
as ``00003_00017.png``, ``paper01-000.png``, ``leaf_0_4711.jpg`` or ``leaf_jpg.rf.0a1b2c.jpg`` do, and so do folders
below that of the class. They may also tell nothing. So the photographs decide: what names put together is a series
where an image's nearest neighbour in its class is of the same series far more often than chance has it. Near-duplicates
do not count as neighbours of each other, since they are kept together anyway.

Nearness is the root mean square between thumbnails. On rock-paper-scissors, whose names tell the hand, the nearest
neighbour is of the same hand 99.7 times of a hundred where chance has 15 (kappa 0.996); of names that end in a running
number or in a hash (brain scans, cats and dogs, ants and bees) kappa was at most 0.08, or there were too few to say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from graft.data.splits.grouping import joined
from graft.data.splits.image_groups import groups_of_several

if TYPE_CHECKING:
    import pandas as pd

# Of a class that is divided by series, by the number of parts taken out of train; and how much of the class one of them
# may be. Else training would be left with little, or a part with nothing.
LEAST_SERIES = {0: 1, 1: 3, 2: 5}
LARGEST = 0.5
# Agreement beyond chance (J. Cohen's kappa, 1960), and how many standard deviations above chance it has to be.
LEAST_KAPPA, LEAST_DEVIATIONS = 0.5, 5.0
# Classes that are looked at, and images of each of them.
_CLASSES, _IMAGES = 60, 400
# The last part of a name behind a mark, and a number at its end.
_LAST, _NUMBER = r"[-_. ()]+[^-_. ()/]+\)*$", r"[0-9]+$"


@dataclass(frozen=True)
class Series:
    """The series of a folder of images, joined with its near-duplicates.

    Attributes:
        together: what a split keeps in one part: near-duplicates, and series in classes that have enough of them;
            columns sha256 and group, of groups of two images or more.
        for_folds: the same with the series of all classes.
        images: in series that ``together`` holds.
        count: of these series.
        example: path of one of their images.
        least: series that a class needs to be divided by them.
        few: labels of classes with series, but with fewer, or with one that is most of the class.
    """

    together: pd.DataFrame
    for_folds: pd.DataFrame
    images: int
    count: int
    example: str
    least: int
    few: list[str]


def find_series(
    images: pd.DataFrame, near_duplicates: pd.DataFrame, thumbnails: Callable[[np.ndarray], np.ndarray], carved: int = 2
) -> Series | None:
    """Return the series that names tell of and thumbnails confirm; None where there are none.

    Args:
        images: columns path, label and sha256, of images that take part.
        near_duplicates: columns sha256 and group.
        thumbnails: returns those of some images by their positions, uint8 ``[n, 192]``.
        carved: parts that are taken out of train, 0 to 2.
    """
    import pandas as pd

    labels, names = pd.factorize(images["label"], sort=True)
    copies = pd.factorize(images["sha256"])[0]
    near_group = dict(zip(near_duplicates["sha256"], near_duplicates["group"], strict=True))
    near = joined(copies, pd.factorize(images["sha256"].map(near_group).fillna(images["sha256"]))[0])
    series, known = np.arange(len(images)), near
    for keys in _told_by_names(images["path"]):
        told = pd.factorize(labels * (keys.max() + 1) + keys)[0]
        if _are_alike(told, known, labels, thumbnails):
            series = joined(series, told)
            known = joined(known, series)
    is_one = np.bincount(series)[series] > 1
    if not is_one.any():
        return None
    least = LEAST_SERIES[carved]
    sizes = pd.DataFrame({"label": labels, "unit": known}).value_counts().groupby("label").agg(["size", "max", "sum"])
    is_few = (sizes["size"] < least) | (sizes["max"] > LARGEST * sizes["sum"])
    few = is_few.sort_index().to_numpy(bool) & (np.bincount(labels[is_one], minlength=len(names)) > 0)
    kept = is_one & ~few[labels]
    alone = len(images) + np.arange(len(images))
    together = joined(near, np.where(kept, series, alone))
    return Series(
        groups_of_several(images, together),
        groups_of_several(images, known),
        int(kept.sum()),
        len(np.unique(series[kept])),
        str(images["path"].iloc[int(np.argmax(kept if kept.any() else is_one))]),
        least,
        [str(name) for name in names[few]],
    )


def _told_by_names(paths: pd.Series) -> Iterator[np.ndarray]:
    """Yield what names put together, int ``[N]`` each, the narrowest first."""
    import pandas as pd

    stems = paths.str.replace(r"\.[^./]*$", "", regex=True)
    shorter = stems.str.replace(_LAST, "", regex=True)
    for keys in (
        shorter,
        stems.str.replace(_NUMBER, "", regex=True),
        shorter.str.replace(_LAST, "", regex=True),
        paths.str.rpartition("/")[0],
    ):
        yield pd.factorize(keys)[0]


def _are_alike(
    told: np.ndarray, known: np.ndarray, labels: np.ndarray, thumbnails: Callable[[np.ndarray], np.ndarray]
) -> bool:
    """Return whether images that are told to belong together are nearest to each other, beyond those known to."""
    agreed = expected = variance = 0.0
    looked_at = 0
    for rows in _sampled(told, labels):
        group, before = told[rows], known[rows]
        others = before[:, None] != before
        same = (group[:, None] == group) & others
        # Of an image that all of its class, or nothing else of its own group, belongs with already, nothing is learnt.
        chance = same.sum(axis=1) / np.maximum(others.sum(axis=1), 1)
        asked = (chance > 0) & (chance < 1)
        pixels = thumbnails(rows).astype(np.float32)
        squares = np.square(pixels).sum(axis=1)
        distances = squares[:, None] + squares - 2 * pixels @ pixels.T
        nearest = np.where(others, distances, np.inf).argmin(axis=1)
        agreed += (group[nearest] == group)[asked].sum()
        expected += chance[asked].sum()
        variance += (chance * (1 - chance))[asked].sum()
        looked_at += int(asked.sum())
    if not looked_at or expected >= looked_at:
        return False
    kappa = (agreed - expected) / (looked_at - expected)
    return bool(kappa >= LEAST_KAPPA and agreed - expected >= LEAST_DEVIATIONS * np.sqrt(variance))


def _sampled(told: np.ndarray, labels: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the rows of some classes that have several groups, and of each whole groups up to a number of images."""
    sizes = np.bincount(told)
    rows = np.flatnonzero(sizes[told] > 1)
    rows = rows[np.lexsort((told[rows], labels[rows]))]
    classes = np.unique(labels[rows])
    for label in classes[:: -(-len(classes) // _CLASSES) or 1]:
        of_class = rows[labels[rows] == label]
        groups = np.unique(told[of_class])
        # As many groups, evenly spread, as come to the number of images.
        step = -(-len(of_class) // _IMAGES)
        some = of_class[np.isin(told[of_class], groups[::step])][: 2 * _IMAGES]
        if len(np.unique(told[some])) > 1:
            yield some
