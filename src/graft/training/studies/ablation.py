"""Leave the options of a frozen strategy out, one at a time: what each is worth, on the same images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from graft.core.paired import difference, log_losses
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
    """Return the strategy as it is, and without each of its options, judged on the same folds."""
    whole, _ = out_of_fold(images, folds, seed)
    losses, right = log_losses(whole, images.labels), whole.argmax(axis=1) == images.labels
    found = [Without("", evaluate(images.labels, whole, images.classes))]
    for option, changed in variants(images):
        probabilities, _ = out_of_fold(changed, folds, seed)
        cost = difference(losses, log_losses(probabilities, images.labels), images.groups)
        is_right = probabilities.argmax(axis=1) == images.labels
        found.append(
            Without(
                option,
                evaluate(images.labels, probabilities, images.classes),
                compare(is_right, right, 0.95, images.groups),
                (cost.gain, cost.error),
            )
        )
    return found


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
