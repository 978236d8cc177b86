"""The section ``monitor`` of params.yaml: how recent images are compared with the training images, and the log."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from graft.core.params.sections import Count, Section, Share

# As many tests as there can be in one comparison, see graft.deployment.monitor.checks; Holm divides the level among
# them.
MOST_CHECKS = 8


class Effects(Section):
    """How large a difference must be, besides being significant, to count as drift.

    Attributes:
        embedding: between features, in standard deviations, see
        :func:`graft.deployment.monitor.statistics.features_differ`.
        classes: share of the images that would have to change class.
        values: largest gap between the shares of images up to any one brightness, sharpness, width, height or
            confidence.
        unreadable: by which the share of unreadable images rose.
    """

    embedding: Annotated[float, Field(ge=0)] = 0.05
    classes: Share = 0.1
    values: Share = 0.15
    unreadable: Share = 0.02


class LogParams(Section):
    """What is logged of predictions, and how much.

    Attributes:
        enabled: whether ``graft predict`` and ``graft serve`` log at all.
        max_rows: predictions in the log; the oldest go.
        max_mb: of the log on disk, images included; the oldest go.
        keep_embeddings: whether a prediction's features are logged; ``graft serve`` does not do it.
        keep_images: whether the images themselves are logged, instead of their hashes alone.
    """

    enabled: bool = False
    max_rows: Count = 100_000
    max_mb: Annotated[float, Field(gt=0)] = 200
    keep_embeddings: bool = False
    keep_images: bool = False


class MonitorParams(Section):
    """A comparison of recent images with the training images.

    Attributes:
        alpha: chance that a comparison calls it drift where there is none; shared among all its checks.
        effects: how large a difference must be.
        max_images: looked at on each side; of more, a sample by hash.
        min_images: on each side; with fewer nothing is said.
        permutations: of the test of features.
        log: of predictions.
    """

    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.01
    effects: Effects = Effects()
    max_images: Count = 1000
    min_images: Annotated[int, Field(ge=5)] = 30
    permutations: Count = 2000
    log: LogParams = LogParams()

    @model_validator(mode="after")
    def _level_can_be_reached(self) -> MonitorParams:
        if (self.permutations + 1) * self.alpha < MOST_CHECKS:
            raise ValueError(
                f"permutations is {self.permutations}, of which no p-value is small enough for alpha "
                f"{self.alpha:g} shared among {MOST_CHECKS} checks: it takes {MOST_CHECKS / self.alpha:.0f}"
            )
        if self.min_images > self.max_images:
            raise ValueError(f"min_images is {self.min_images}, more than max_images, {self.max_images}")
        return self
