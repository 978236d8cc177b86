"""The advice: candidate backbones measured on the training images, and a strategy that follows from it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from graft.analysis.advisor.advice_rules import (
    Measured,
    RuleOfThumb,
    choose_backbone,
    flip_of,
    recommend,
    rule_of_thumb,
)
from graft.analysis.advisor.depths import DeepFeatures, deep_features
from graft.analysis.advisor.scores import Gain, mirroring_gain, score_depths
from graft.core.params.strategy_params import AutoParams, FineTuneParams, Flip, FrozenParams
from graft.networks.backbones import build_backbone
from graft.networks.decode_images import KeyedImages, LabelledImages
from graft.networks.features.feature_store import FeatureStore

# Images of a class, so that each fold of the cross-validation has some to learn from and some to ask about.
LEAST_OF_A_CLASS = 10


@dataclass(frozen=True)
class Advice:
    """What to train, and why.

    Attributes:
        strategy: what to train.
        measured: the candidates, in the order of params.
        chosen: the one that ``strategy`` names.
        gains: what mirrored images gain, in nats of log loss, by direction.
        flip: what follows from that.
        images, classes: trained on, of which ``looked_at`` and ``looked_at_classes`` were measured.
        enough: error of the head alone up to which nothing else is tried.
        thumb: the rule of thumb, for comparison.
        outcome: what training two strategies came to, where one was not enough; of these ``strategy`` is the better.
    """

    strategy: FrozenParams | FineTuneParams
    measured: list[Measured]
    chosen: Measured
    gains: dict[str, Gain]
    flip: Flip
    images: int
    looked_at: int
    classes: int
    looked_at_classes: int
    enough: float
    thumb: RuleOfThumb
    outcome: str = ""

    @property
    def best_frozen(self) -> Measured:
        """The backbone that a head alone would do best on; the first of equals."""
        return max(self.measured, key=lambda one: one.top.accuracy)

    def reasons(self) -> list[str]:
        """Why, a sentence each."""
        top, best = self.chosen.top, self.chosen.scores[self.chosen.best]
        name = self.chosen.backbone.name
        said = []
        if self.looked_at_classes < self.classes:
            said.append(
                f"{self.looked_at_classes:,} of {self.classes:,} classes were looked at; to tell all of them apart is "
                "harder"
            )
        if len(self.measured) > 1:
            others = ", ".join(
                f"{other.backbone.name} {1 - other.scores[other.best].accuracy:.1%}"
                for other in self.measured
                if other is not self.chosen
            )
            said.append(f"{name} has an error of {1 - best.accuracy:.1%} at its best depth; {others}")
        error = f"a linear classifier on the whole of {name} errs in {1 - top.accuracy:.1%}"
        if self.outcome:
            said.append(self.outcome)
        elif isinstance(self.strategy, FrozenParams):
            said.append(f"{error}, no more than {self.enough:.1%}: the head alone is trained")
        else:
            said.append(f"{error}, more than {self.enough:.1%}: the backbone is trained too")
            where = "its top" if best is top else f"{best.depth.layer}, {best.depth.share:.0%} of the way up"
            said.append(f"it is best at {where} ({best.accuracy:.1%}), so training starts below that")
            rival = self.best_frozen
            said.append(
                f"where that stays below {rival.top.accuracy:.1%} on validation, a head alone on "
                f"{rival.backbone.name} is tried too"
            )
        helpful = {"none": "neither way"}.get(self.flip, self.flip.replace("_", " "))
        gains = ", ".join(
            f"{way} {gain.mean:+.3f} ± {gain.standard_error:.3f}" for way, gain in self.gains.items()
        )
        said.append(f"mirrored images gain {gains} nats: mirrored {helpful}")
        return said

    def as_record(self) -> dict[str, Any]:
        """All of it, JSON-ready."""
        return {
            "strategy": self.strategy.model_dump(mode="json"),
            "reasons": self.reasons(),
            "rule_of_thumb": vars(self.thumb),
            "images": self.images,
            "looked_at": self.looked_at,
            "classes": self.classes,
            "looked_at_classes": self.looked_at_classes,
            "mirroring_gain": {
                way: {"nats": gain.mean, "standard_error": gain.standard_error}
                for way, gain in self.gains.items()
            },
            "backbones": [
                {
                    "backbone": one.backbone.name,
                    "seconds": round(one.seconds, 1),
                    "depths": [
                        {
                            "layer": score.depth.layer,
                            "layers_above": score.depth.above,
                            "share_below": round(score.depth.share, 3),
                            "accuracy": round(score.accuracy, 4),
                            "log_loss": round(score.log_loss, 4),
                        }
                        for score in one.scores
                    ],
                }
                for one in self.measured
            ],
        }


def advise(
    params: AutoParams,
    images: LabelledImages,
    groups: np.ndarray,
    image_size: int,
    seed: int,
    cache: Path,
    store: FeatureStore | None,
    label: str,
) -> Advice:
    """Measures the candidates on training images and says what to train on all of them.

    Args:
        params: candidates, how many depths, folds and images.
        images: of train; validation and test play no part.
        groups: of each, what belongs together; folds never tear it apart.

    Raises:
        GraftError: a backbone cannot be had, or there are not two classes of three images each.
    """
    labels = np.asarray(images.labels)
    classes = len(np.unique(labels))
    rows = sample(images.keys, labels, params.max_images)
    some = _Some(images, rows)
    networks: list[DeepFeatures] = []
    measured: list[Measured] = []
    for backbone_params in params.backbones:
        started = time.perf_counter()
        deep = deep_features(build_backbone(backbone_params, image_size, cache), params.depths)
        features = deep.of(some, f"{label}: {deep.name} at {len(deep.depths)} depths", store)
        scores = score_depths(deep, features, labels[rows], groups[rows], seed, params.folds)
        networks.append(deep)
        measured.append(Measured(backbone_params, scores, time.perf_counter() - started))
    chosen = choose_backbone(measured)
    deep = next(deep for deep, one in zip(networks, measured, strict=True) if one is chosen)
    plain = deep.of(some, f"{label}: {deep.name}", store)
    top = deep.depths[-1].columns
    gains = {}
    for way, axes in (("horizontal", (2,)), ("vertical", (1,))):
        mirrored = deep.of(some, f"{label}: {deep.name}, mirrored", store, axes)
        both = plain[:, top], mirrored[:, top]
        gains[way] = mirroring_gain(chosen.top, *both, labels[rows], groups[rows], seed, params.folds)
    flip = flip_of(gains["horizontal"], gains["vertical"])
    strategy = recommend(chosen, len(labels), classes, flip, params.enough)
    return Advice(
        strategy=strategy.model_copy(
            update={"image_size": image_size, "seed": seed, "precision": params.precision}
        ),
        measured=measured,
        chosen=chosen,
        gains=gains,
        flip=flip,
        images=len(labels),
        looked_at=len(rows),
        classes=classes,
        looked_at_classes=len(np.unique(labels[rows])),
        enough=params.enough,
        thumb=rule_of_thumb(chosen, len(labels), classes),
    )


def sample(keys: Sequence[bytes], labels: np.ndarray, count: int) -> np.ndarray:
    """Return the indices of at most ``count`` images, rising, of the same share of each class.

    A class has :data:`LEAST_OF_A_CLASS` all the same, if it has as many; where that would be too many, some of the
    classes are left out. What is taken has the smallest hashes, which are as good as dice, and moves little as the data
    grows.

    Args:
        labels: class indices ``[N]``.
        count: at least :data:`LEAST_OF_A_CLASS` times two.
    """
    if len(labels) <= count:
        return np.arange(len(labels))
    order = np.array(sorted(range(len(labels)), key=lambda index: keys[index]))
    # Of each class its images by hash; classes with too few of them last, else by their first image.
    members = [order[labels[order] == value] for value in np.unique(labels)]
    members.sort(key=lambda rows: (len(rows) < LEAST_OF_A_CLASS, keys[rows[0]]))
    rank = np.full(len(labels), np.inf)
    for rows in members[: max(2, count // LEAST_OF_A_CLASS)]:
        rank[rows] = (np.arange(len(rows)) + 0.5) / len(rows)
        rank[rows[:LEAST_OF_A_CLASS]] -= 1
    chosen = np.argsort(rank, kind="stable")[:count]
    return np.sort(chosen[np.isfinite(rank[chosen])])


class _Some:
    """Some of the images."""

    def __init__(self, images: KeyedImages, rows: np.ndarray) -> None:
        self._images, self._rows = images, rows
        self.keys = [images.keys[row] for row in rows]

    def __len__(self) -> int:
        return len(self._rows)

    def at(self, indices: np.ndarray) -> np.ndarray:
        return self._images.at(self._rows[indices])
