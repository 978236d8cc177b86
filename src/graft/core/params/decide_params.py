"""The section ``decide`` of params.yaml: what is answered for the probabilities of a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field

from graft.core.errors import GraftError, did_you_mean
from graft.core.params.sections import Section

Precision = Annotated[float, Field(gt=0, lt=1)]
Cost = Annotated[float, Field(ge=0)]


class DecideParams(Section):
    """Settings of which answer is given for probabilities; limits follow from images that the model was not fitted to.

    Attributes:
        unknown: share of known images that may be answered ``unknown``; 0: every image gets a class.
        precision: by class, the share of its answers that shall be right.
        costs: by right class, by answer: what that mistake costs; all others cost 1, right answers nothing.
    """

    unknown: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    precision: dict[str, Precision] = Field(default={})
    costs: dict[str, dict[str, Cost]] = Field(default={})

    @property
    def wanted(self) -> dict[str, Any]:
        """Return the settings that ask for something, JSON-ready; empty where none does."""
        return {name: value for name, value in self.model_dump().items() if value}

    def require_classes(self, classes: Sequence[str]) -> None:
        """Raise GraftError where a class is named that there is none of, or one is called ``unknown``."""
        named = [*self.precision, *self.costs, *(name for answers in self.costs.values() for name in answers)]
        for name in named:
            if name not in classes:
                what = f"decide in params.yaml names '{name}', which is no class"
                raise GraftError(what, did_you_mean(name, classes))
        if self.unknown and "unknown" in classes:
            raise GraftError(
                "A class is called 'unknown', and decide.unknown answers that for none of the classes",
                "Rename the class, or set decide.unknown: 0",
            )
