"""The section ``ensemble`` of params.yaml: which strategies answer together, and how much each counts."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from graft.core.errors import did_you_mean
from graft.core.params.sections import Name, Section


class EnsembleOf(Section):
    """One ensemble: the weighted mean of its members' probabilities.

    Attributes:
        of: names of strategies.
        weights: ``fitted`` to the least log loss on validation, or ``equal``.
    """

    of: list[Name] = Field(min_length=2)
    weights: Literal["fitted", "equal"] = "fitted"

    @model_validator(mode="after")
    def _each_member_once(self) -> EnsembleOf:
        if len(set(self.of)) < len(self.of):
            raise ValueError(f"of names a strategy twice: {self.of}")
        return self


class EnsembleParams(Section):
    """The ensembles, and which of them are made.

    Attributes:
        run: names of the ensembles to make; may be empty.
        ensembles: by name.
    """

    run: list[Name] = Field(default=[])
    ensembles: dict[Name, EnsembleOf] = Field(default={})

    @model_validator(mode="after")
    def _run_names_ensembles(self) -> EnsembleParams:
        for name in self.run:
            if name not in self.ensembles:
                raise ValueError(
                    f"run names '{name}', which is not under ensemble.ensembles. "
                    f"{did_you_mean(name, self.ensembles, '' if self.ensembles else 'There is none')}"
                )
        if len(set(self.run)) < len(self.run):
            raise ValueError(f"run names an ensemble twice: {self.run}")
        return self

    def check_against(self, trained: list[str], strategies: list[str]) -> None:
        """Raise ValueError unless every ensemble has only members that are trained, and a name of its own.

        Args:
            trained: ``train.run``.
            strategies: names under ``train.strategies``.

        Raises:
            ValueError: names the ensemble, the member, and what would be right.
        """
        for name in self.ensembles:
            if name in strategies:
                raise ValueError(
                    f"ensemble.ensembles.{name} has the name of a strategy. Give it one of its own: both would "
                    "be rows of one table"
                )
        for name in self.run:
            for member in self.ensembles[name].of:
                if member not in strategies:
                    raise ValueError(
                        f"ensemble.ensembles.{name}.of names '{member}', which is not under train.strategies. "
                        f"{did_you_mean(member, strategies)}"
                    )
                if member not in trained:
                    raise ValueError(
                        f"ensemble.ensembles.{name}.of names '{member}', which train.run does not train. Add it "
                        f"to train.run, or take '{name}' out of ensemble.run"
                    )
