"""The section `sweep`: what may be tried, and what is refused with what would be right."""

from typing import Any

import pytest
from tiny import tiny_params

from graft.core.errors import GraftError
from graft.core.params import Params, parse_params
from graft.core.params.sweep_params import Range, SweepParams, with_settings


def params(sweep: dict[str, Any]) -> Params:
    raw = tiny_params().model_dump(by_alias=True, mode="json")
    return parse_params({**raw, "sweep": sweep})


def test_lists_and_ranges() -> None:
    found = params({"try": {"small": {"learning_rate": {"low": 0.001, "high": 1}, "head.dropout": [0, 0.5]}}})
    settings = found.sweep.settings["small"]
    assert settings["learning_rate"] == Range(low=0.001, high=1.0)
    assert settings["head.dropout"] == [0, 0.5]
    again = parse_params(found.model_dump(by_alias=True, mode="json"))
    assert again == found


@pytest.mark.parametrize(
    ("sweep", "message"),
    [
        ({"try": {"smal": {}}}, r"sweep.try names 'smal'.*small"),
        ({"try": {"small": {"learning_rates": [1]}}}, r"sweep.try.small.learning_rates tries 1"),
        ({"try": {"small": {"learning_rate": [-1.0]}}}, r"sweep.try.small.learning_rate tries -1.0"),
        ({"try": {"small": {"epochs": []}}}, r"says nothing to try.*a list of values"),
        ({"try": {"small": {"epochs": {"low": 5, "high": 2}}}}, r"0 < low < high"),
        ({"try": {"small": {"epochs": 3}}}, r"says nothing to try"),
        (
            {"order": "grid", "try": {"small": {"epochs": {"low": 1, "high": 2}}}},
            r"is a range, of which a grid has no list",
        ),
        ({"trials": 0}, r"sweep.trials"),
    ],
)
def test_refusals(sweep: dict[str, Any], message: str) -> None:
    # Shapes are refused with params.yaml, names and values by the sweep.
    with pytest.raises((GraftError, ValueError), match=message):
        found = params(sweep)
        found.sweep.check_against(found.train)


def test_settings_by_dotted_key_leave_the_rest_as_it_is() -> None:
    small = tiny_params().train.strategies["small"]
    changed = with_settings(small, {"head.dropout": 0.4, "epochs": 5})
    assert (changed.head.dropout, changed.epochs) == (0.4, 5)  # type: ignore[union-attr]
    assert with_settings(changed, {"head.dropout": 0.1, "epochs": 2}) == small


def test_without_a_section_nothing_is_tried() -> None:
    assert tiny_params().sweep == SweepParams()
