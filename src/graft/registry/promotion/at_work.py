"""What the gate knows of a candidate that answered at work in the shadow, beside the model that people got."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from graft.core.project import Project
from graft.data.scan.manifest import read_manifest
from graft.evaluation.comparison import Comparison, compare


@dataclass(frozen=True)
class ShadowAnswer:
    """What was answered for one image at work, and what the candidate said in the shadow."""

    sha256: str
    answered: str
    shadowed: str


@dataclass(frozen=True)
class AtWork:
    """The candidate in the shadow.

    Attributes:
        images: that both answered; ``differing`` of them otherwise.
        labelled: of these, images whose label came later and which neither model has learned from.
        comparison: of the candidate with what was answered, on the labelled ones; None without any.
    """

    images: int
    differing: int
    labelled: int
    comparison: Comparison | None


def seen_at_work(
    project: Project, answers: Sequence[ShadowAnswer], learned: Collection[str], confidence: float
) -> AtWork | None:
    """Return what the answers come to; None where the candidate did not answer in the shadow.

    Labels are those of data/: images that were logged, and delivered with a label since.

    Args:
        learned: SHA-256 of images that either model was trained or validated on.
    """
    if not answers:
        return None
    labels: dict[str, str] = {}
    if project.manifest.is_file():
        images = read_manifest(project.manifest, columns=["sha256", "label", "left_out"])
        images = images[(images["left_out"] == "") & ~images["sha256"].isin(set(learned))]
        labels = dict(zip(images["sha256"], images["label"], strict=True))
    known = [one for one in answers if one.sha256 in labels]
    comparison = None
    if known:
        right = np.array([one.shadowed == labels[one.sha256] for one in known])
        champion_right = np.array([one.answered == labels[one.sha256] for one in known])
        comparison = compare(right, champion_right, confidence)
    differing = sum(one.answered != one.shadowed for one in answers)
    return AtWork(len(answers), differing, len(known), comparison)
