"""Leave the options of a frozen strategy out, one at a time: what each is worth, on the same images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from graft.core.paired import difference, log_losses
from graft.core.run_each import run_each
from graft.evaluation.comparison import Comparison, compare
from graft.evaluation.metrics import Evaluation, evaluate
from graft.training.studies.study_images import StudyImages, StudyMember, out_of_fold


@dataclass(frozen=True)
class Without:
    """A strategy without one of its options, out of fold.

    Attributes:
        option: that was left out; ``""`` for the strategy as it is.
        figures: of all images.
        comparison: with the strategy as it is, which is the champion; None for that itself.
        log_loss: how much higher it is without the option, in nats, and the standard error of that.
    """

    option: str
    figures: Evaluation
    comparison: Comparison | None = None
    log_loss: tuple[float, float] = (0.0, 0.0)


def ablate(images: StudyImages, folds: int, seed: int) -> list[Without]:
    """Return the strategy as it is, and without each of its options, judged on the same folds: on Ray, tasks."""
    options = ["", *(option for option, _ in variants(images))]
    judged = partial(_out_of_fold, images, folds, seed)
    found: list[Without] = []
    losses: np.ndarray = np.empty(0)
    right: np.ndarray = np.empty(0, bool)
    work = run_each(judged, range(len(options)), images=len(images.labels) * len(options))
    for option, probabilities in zip(options, work, strict=True):
        figures = evaluate(images.labels, probabilities, images.classes)
        is_right = probabilities.argmax(axis=1) == images.labels
        if not option:
            losses, right = log_losses(probabilities, images.labels), is_right
            found.append(Without(option, figures))
            continue
        cost = difference(losses, log_losses(probabilities, images.labels), images.groups)
        compared = compare(is_right, right, 0.95, images.groups)
        found.append(Without(option, figures, compared, (cost.gain, cost.error)))
    return found


def _out_of_fold(images: StudyImages, folds: int, seed: int, number: int) -> np.ndarray:
    """Return probabilities out of fold: of the strategy as it is, 0, or of the variant of a number from 1."""
    changed = [images, *(variant for _, variant in variants(images))][number]
    return out_of_fold(changed, folds, seed)[0]


def variants(images: StudyImages) -> Iterator[tuple[str, StudyImages]]:
    """Yield each option that is on, in words, and the images as they are without it."""
    members = images.members
    if len(members) > 1:
        for number, member in enumerate(members):
            yield member.name, replace(images, members=members[:number] + members[number + 1 :])
    if any(member.plain is not None for member in members):
        plain = tuple(
            member if member.plain is None else replace(member, features=member.plain, plain=None) for member in members
        )
        yield "mirror images in the mean", replace(images, members=plain)
    if any(member.mirrored for member in members):
        yield (
            "mirrored copies to learn from",
            replace(images, members=tuple(replace(member, mirrored=()) for member in members)),
        )
    if any(member.top < member.features.shape[1] for member in members):
        yield "depths below the top", replace(images, members=tuple(_top(member) for member in members))
    if images.class_weight == "balanced":
        yield "class_weight: balanced", replace(images, class_weight="none")


def _top(member: StudyMember) -> StudyMember:
    def cut(features: np.ndarray) -> np.ndarray:
        return features[:, : member.top]

    return replace(
        member,
        features=cut(member.features),
        mirrored=tuple(cut(one) for one in member.mirrored),
        plain=None if member.plain is None else cut(member.plain),
    )
