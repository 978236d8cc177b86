"""Decide what to answer: the most probable class, another one where costs or a wanted precision say so, or none.

A bundle has the evidence, so that whoever loads it can decide without the photographs::

    known.npz       of images that the model was not fitted to: labels int [M], probabilities float32 [M, C], and their
                    distances float32 [M] from the training images; nan where the network gives no features
    features.npz    of a network: features float16 [R, D] of training images, each of length 1
    model.json      decide: what was wanted, and the limits that follow from known.npz

The distance of an image is one less the cosine between its features and those of the nearest training image (Y. Sun et
al., Out-of-distribution detection with deep nearest neighbors, ICML 2022; docs/unknown.md has what was measured).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

KNOWN_FILE = "known.npz"
FEATURES_FILE = "features.npz"
DECIDE = "decide"  # of model.json
UNKNOWN = "unknown"
NONE_OF_THESE = -1  # in the place of a class index
# Images whose predictions a bundle brings: 5 % of so many are known to 0.3 points, and a thousand classes of them are
# 20 MB.
MOST_KNOWN = 5000


@dataclass(frozen=True)
class Known:
    """Probabilities and distances of images that a model was not fitted to, out of fold or of validation.

    Attributes:
        labels: class indices, int ``[M]``.
        probabilities: float32 ``[M, C]``.
        distances: float32 ``[M]``, nan where there is none.
    """

    labels: np.ndarray
    probabilities: np.ndarray
    distances: np.ndarray

    @classmethod
    def read(cls, bundle: Path) -> "Known | None":
        """Return the evidence in a bundle; None where an earlier graft wrote it without."""
        try:
            with np.load(bundle / KNOWN_FILE, allow_pickle=False) as found:
                return cls(found["labels"], found["probabilities"], found["distances"])
        except FileNotFoundError:
            return None

    def write(self, bundle: Path) -> None:
        """Write the evidence into a bundle, before its record is written."""
        np.savez_compressed(
            bundle / KNOWN_FILE,
            labels=self.labels.astype(np.int32),
            probabilities=self.probabilities.astype(np.float32),
            distances=self.distances.astype(np.float32),
        )


def enough(count: int) -> np.ndarray:
    """Return places of as many of so many images as decisions need, evenly spread, int ``[min(count, MOST_KNOWN)]``."""
    return np.unique(np.linspace(0, count - 1, min(count, MOST_KNOWN)).round().astype(np.int64))


def unit(features: np.ndarray) -> np.ndarray:
    """Return features ``[N, D]``, each of length 1, float32."""
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return np.asarray(features / np.maximum(lengths, 1e-12), np.float32)


def distances(features: np.ndarray, training: np.ndarray) -> np.ndarray:
    """Return one less the cosine between each of ``features`` ``[N, D]`` and the nearest of ``training`` ``[R, D]``.

    Args:
        training: of length 1 each.
    """
    return np.asarray(1 - (unit(features) @ np.asarray(training, np.float32).T).max(axis=1), np.float32)


def limits(known: Known, share: float) -> dict[str, float]:
    """Return the limits by which a share of known images is refused at most, too far and too uncertain ones together.

    Both limits cut off the same share of the images, as large as the two together allow. Of M images one more is
    thought to be refused, so that the share holds for the next image too (V. Vovk et al., Algorithmic Learning in a
    Random World, 2005, section 2.2): with fewer than ``1 / share`` images none can be refused.

    Returns:
        ``distance``, above which, and ``probability`` of the best class, below which an image is unknown. Without
        distances the former is infinite.
    """
    best = known.probabilities.max(axis=1)
    far = known.distances if np.isfinite(known.distances).any() else np.full(len(best), -np.inf)
    measured = ~np.isnan(far)  # images that the network was trained on have no distance
    best, far = np.sort(best[measured]), far[measured]
    certain, ordered = known.probabilities.max(axis=1)[measured], np.sort(far)
    allowed = math.floor(share * (len(best) + 1)) - 1
    found = {"distance": math.inf, "probability": 0.0}
    for cut in range(len(best)):
        distance = float(ordered[len(best) - 1 - cut]) if np.isfinite(ordered[-1]) else math.inf
        probability = float(best[cut])
        if ((far > distance) | (certain < probability)).sum() > allowed:
            break
        found = {"distance": distance, "probability": probability}
    return found


def thresholds(known: Known, classes: Sequence[str], precision: Mapping[str, float]) -> dict[str, float]:
    """Return the least probability from which on answers of a class have the wanted precision on known images.

    Below it the next best class is answered. A class for which no threshold has it gets 1: it is never answered but
    where the model is certain.
    """
    found = {}
    for name, wanted in precision.items():
        scores = known.probabilities[:, classes.index(name)].astype(np.float64)
        order = np.argsort(-scores, kind="stable")
        right = known.labels[order] == classes.index(name)
        precise = np.cumsum(right) / np.arange(1, len(right) + 1)
        # Only where the next image has another probability, and from 0.5 / C on: nobody means less by an answer.
        ends = np.append(np.diff(scores[order]) < 0, True) & (scores[order] >= 0.5 / len(classes))
        reached = np.flatnonzero((precise >= wanted) & ends)
        found[name] = float(scores[order][reached[-1]]) if len(reached) else 1.0
    return found


def label_sets(known: Known, probabilities: np.ndarray, coverage: float) -> np.ndarray:
    """Return which classes belong to the set of each image, bool ``[N, C]``; the best one always does.

    The sets hold the right class of a share ``coverage`` of images like the known ones: split conformal prediction by
    the probability of the right class (M. Sadinle et al., Least ambiguous set-valued classifiers with bounded error
    levels, JASA 114, 2019).

    Args:
        probabilities: float ``[N, C]``.
        coverage: above 0, below 1.
    """
    of_label = np.sort(known.probabilities[np.arange(len(known.labels)), known.labels])
    rank = math.floor((1 - coverage) * (len(of_label) + 1))
    least = of_label[rank - 1] if rank else 0.0
    sets = probabilities >= least
    sets[np.arange(len(sets)), probabilities.argmax(axis=1)] = True
    return np.asarray(sets, bool)


@dataclass(frozen=True)
class Decisions:
    """Rules that turn probabilities and distances into answers.

    Attributes:
        distance, probability: the limits of :func:`limits`.
        thresholds: float ``[C]``, from which probability on a class is answered; 0 where nothing is wanted.
        costs: float ``[C, C]`` of an answer (column) where another class is right (row); None: all mistakes alike.
    """

    distance: float
    probability: float
    thresholds: np.ndarray
    costs: np.ndarray | None

    @classmethod
    def of(cls, decided: Mapping[str, Any], classes: Sequence[str]) -> "Decisions":
        """Return what stands under ``decide`` in a model.json."""
        costs = None
        if wanted := decided.get("costs"):
            costs = 1 - np.eye(len(classes))
            for right, answers in wanted.items():
                for answer, cost in answers.items():
                    costs[classes.index(right), classes.index(answer)] = cost
        least = decided.get("thresholds", {})
        found = decided.get("limits", {})
        distance = found.get("distance")
        return cls(
            math.inf if distance is None else distance,
            found.get("probability", 0.0),
            np.array([least.get(name, 0.0) for name in classes]),
            costs,
        )

    def indices(self, probabilities: np.ndarray, far: np.ndarray) -> np.ndarray:
        """Return the class index of each answer, int ``[N]``; -1 for none of the classes.

        Args:
            probabilities: float ``[N, C]``.
            far: distances ``[N]``; nan is near.
        """
        scores = probabilities if self.costs is None else -(probabilities @ self.costs)
        allowed = probabilities >= self.thresholds
        best = np.where(allowed, scores, -np.inf).argmax(axis=1)
        best = np.where(allowed.any(axis=1), best, NONE_OF_THESE)
        unknown = (probabilities.max(axis=1) < self.probability) | (np.nan_to_num(far, nan=-np.inf) > self.distance)
        return np.where(unknown, NONE_OF_THESE, best)


def decide(known: Known, classes: Sequence[str], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return what goes under ``decide`` into a model.json: what was wanted, and what follows from known images.

    Args:
        wanted: ``unknown``, ``precision`` and ``costs`` as params.yaml has them.
    """
    found: dict[str, Any] = {name: value for name, value in wanted.items() if value}
    if share := wanted.get("unknown"):
        both = limits(known, share)
        found["limits"] = {name: value for name, value in both.items() if math.isfinite(value)}
    if precision := wanted.get("precision"):
        found["thresholds"] = thresholds(known, classes, precision)
    return found


def label_names(classes: Sequence[str], indices: np.ndarray) -> list[str]:
    """Return the answers in words; ``unknown`` for none of the classes."""
    return [UNKNOWN if index == NONE_OF_THESE else classes[index] for index in indices.tolist()]


def answered(probabilities: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Return the probability of each answer ``[N]``; for none of the classes, that of the best one."""
    best = np.where(indices == NONE_OF_THESE, probabilities.argmax(axis=1), indices)
    return np.asarray(probabilities[np.arange(len(best)), best])
