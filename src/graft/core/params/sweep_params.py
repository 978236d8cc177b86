"""The section ``sweep`` of params.yaml: which settings of which strategies `graft sweep` tries."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError

from graft.core.errors import did_you_mean, shown
from graft.core.params.sections import Count, Name, Section
from graft.core.params.strategy_params import FrozenParams, StrategyParams
from graft.core.params.train_params import TrainParams


class Range(Section):
    """Numbers between two, drawn by their logarithm: rates and penalties differ by factors.

    Attributes:
        low, high: both may be drawn; whole numbers are drawn where both are whole.
    """

    low: Annotated[float, Field(gt=0)]
    high: Annotated[float, Field(gt=0)]


def _choices(value: Any) -> Any:
    if isinstance(value, (list, tuple)) and value:
        return list(value)
    if isinstance(value, Range):
        return value
    if isinstance(value, dict) and set(value) == {"low", "high"}:
        try:
            numbers = {key: float(number) for key, number in value.items()}
            if 0 < numbers["low"] < numbers["high"]:
                return Range(**numbers)
        except (TypeError, ValueError, ValidationError):
            pass
    raise ValueError(
        f"{shown(value)} says nothing to try. It should be a list of values, such as [0.2, 0.5], or "
        "{low: 0.0001, high: 0.01}, with 0 < low < high"
    )


Choices = Annotated[list[Any] | Range, BeforeValidator(_choices)]


def _address_of_database(address: str) -> str:
    if address and not re.match(r"[a-z][a-z0-9+]*://", address):
        raise ValueError(f"{shown(address)} is no address of a database, such as postgresql://HOST/NAME")
    return address


class SweepParams(Section):
    """A sweep: strategies with settings tried in place of their own.

    Attributes:
        metric: of validation, which the trials are ranked by.
        order: ``tpe`` lets what was seen decide what is tried next; ``grid`` tries every combination of lists.
        trials: of ``tpe``, in all; a grid has a number of its own.
        storage: address of a database that remembers trials, which machines with the same data and settings share,
            such as ``postgresql://USER@HOST/NAME``; a password is best left to PGPASSWORD or ``~/.pgpass``. ``""``: a
            file of the project.
        settings: by strategy, by setting (``learning_rate``, ``head.dropout``), the values to try. A strategy
            without any is tried as it is.
    """

    metric: Literal["log_loss", "accuracy", "macro_f1"] = "log_loss"
    order: Literal["tpe", "grid"] = "tpe"
    trials: Count = 20
    storage: Annotated[str, AfterValidator(_address_of_database)] = ""
    settings: dict[Name, dict[str, Choices]] = Field(default={}, alias="try")

    def check_against(self, train: TrainParams) -> None:
        """Raise ValueError unless all strategies and settings exist, and each value may be set.

        Asked by the sweep, not with the rest of params.yaml: a recipe puts other strategies in the place of those
        that the section names, and runs all the same.

        Raises:
            ValueError: one does not; the message names it.
        """
        for name, settings in self.settings.items():
            if name not in train.strategies:
                raise ValueError(
                    f"sweep.try names '{name}', which is not under train.strategies. "
                    f"{did_you_mean(name, train.strategies)}"
                )
            for key, choices in settings.items():
                if self.order == "grid" and isinstance(choices, Range):
                    raise ValueError(
                        f"sweep.try.{name}.{key} is a range, of which a grid has no list. Name values, or set "
                        "sweep.order: tpe"
                    )
                ends = [choices.low, choices.high] if isinstance(choices, Range) else choices
                for value in ends:
                    try:
                        tried = with_settings(train.strategies[name], {key: whole(value, choices)})
                        if isinstance(tried, FrozenParams):
                            tried.require_effect()
                    except ValueError as error:
                        problem = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
                        problem = problem.removeprefix("Value error, ")
                        raise ValueError(f"sweep.try.{name}.{key} tries {value!r}: {problem}") from None


def whole(value: Any, choices: list[Any] | Range) -> Any:
    """Round a number of a range where both ends of the range are whole."""
    if isinstance(choices, Range) and choices.low.is_integer() and choices.high.is_integer():
        return round(value)
    return value


def with_settings(strategy: StrategyParams, settings: dict[str, Any]) -> StrategyParams:
    """Return a strategy with other settings, by dotted key, validated anew.

    Raises:
        ValidationError: there is no such setting, or it may not have that value.
    """
    values = strategy.model_dump(exclude_unset=True)
    for key, value in settings.items():
        *parents, last = key.split(".")
        section = values
        for parent in parents:
            section = section.setdefault(parent, {})
        section[last] = value
    return type(strategy).model_validate(values)
