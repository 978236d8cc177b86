"""The figures by which models are compared, with their intervals, as they are in ``artifacts/evaluate/metrics``."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from graft.core.project import Project
from graft.evaluation.intervals import Interval

HEADLINE = ("accuracy", "macro_f1", "log_loss")


@dataclass(frozen=True)
class Figure:
    """A figure and its 95 % interval; None where there is none."""

    value: float
    interval: Interval | None = None


@dataclass(frozen=True)
class Headline:
    """The figures of one model on the test split.

    Attributes:
        figures: accuracy, macro_f1 (0..1) and log_loss (nats).
        images: number of images; None where the file is of an earlier graft.
        groups: number of groups of images that belong together; None likewise.
    """

    figures: Mapping[str, Figure]
    images: int | None
    groups: int | None

    @classmethod
    def read(cls, project: Project, name: str) -> "Headline":
        """Return the figures of an evaluated strategy or ensemble. Raises FileNotFoundError where it is none."""
        file = project.artifacts("evaluate") / "metrics" / f"{name}.json"
        return cls.from_json(json.loads(file.read_text(encoding="utf-8")))

    def as_json(self) -> dict[str, Any]:
        """Return the figures as `dvc metrics show` lists them: ``test.accuracy``, ``low.accuracy``, ``images``."""
        ends = {name: figure.interval for name, figure in self.figures.items() if figure.interval}
        return {
            "test": {name: figure.value for name, figure in self.figures.items()},
            "low": {name: interval.low for name, interval in ends.items()},
            "high": {name: interval.high for name, interval in ends.items()},
            "images": self.images,
            "groups": self.groups,
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "Headline":
        """Return the figures that :meth:`as_json` gave."""
        low, high = record.get("low", {}), record.get("high", {})
        figures = {
            name: Figure(value, Interval(low[name], high[name]) if name in low else None)
            for name, value in record["test"].items()
        }
        return cls(figures, record.get("images"), record.get("groups"))
