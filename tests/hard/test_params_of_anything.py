"""Properties of params.yaml: what is valid round-trips, what is not is refused by the name of its key."""

import copy
import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from graft.core.errors import GraftError
from graft.core.params.load_params import parse_params
from graft.core.params.models import Params
from graft.core.recipes import read_recipe, recipe_names, with_recipe

CI = settings(deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
OWN = Path(__file__).resolve().parents[2] / "params.yaml"
SHIPPED: dict[str, Any] = YAML(typ="safe").load(OWN.read_text(encoding="utf-8"))
DOCUMENTS = [
    SHIPPED,
    *(YAML(typ="safe").load(with_recipe(OWN.read_text("utf-8"), read_recipe(n))) for n in recipe_names()),
]
NUMBERS = [0, 1, -1, 2, 0.5, 1.5, 1e-3, -0.0, 10**20, 10**400, 1e308, float("nan"), float("inf"), float("-inf")]
WORDS = [
    "",
    "auto",
    "none",
    "off",
    "all",
    "frozen",
    "keras",
    "~nobody-here/x",
    "a\0b",
    "x" * 5000,
    "../..",
    "[",
    "(",
    "(" * 300,
]
WORDS += [
    "(?P<group>.)",
    "(a)(b)",
    "\ud800",
    "猫",
    "1",
    "true",
    "http://[",
    "* * * * *",
    "@daily",
    "Europe/Nowhere",
    "é",
]
OTHERS: list[Any] = [None, True, False, [], {}, [1], ["frozen"], {"a": 1}, {"kind": "frozen"}, {1: 2}, [[]], b"x"]
OTHERS += [datetime.date(2026, 1, 1), datetime.datetime(2026, 1, 1, 12), {None: None}, {(1, 2): 3}]
VALUES = st.one_of(
    st.sampled_from(NUMBERS),
    st.sampled_from(WORDS),
    st.sampled_from(OTHERS),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
)


def places(document: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where something can be changed in a document: each key, and each item."""
    if not isinstance(document, dict | list):
        return []
    items = list(document.items()) if isinstance(document, dict) else list(enumerate(document))
    return [place for key, value in items for place in ((*above, key), *places(value, (*above, key)))]


PLACES = [(number, place) for number, document in enumerate(DOCUMENTS) for place in places(document)]


def changed(number: int, place: tuple[Any, ...], how: str, value: Any) -> Any:
    document = copy.deepcopy(DOCUMENTS[number])
    holder = document
    for key in place[:-1]:
        holder = holder[key]
    if how == "value":
        holder[place[-1]] = value
    elif how == "removed":
        del holder[place[-1]]
    elif isinstance(holder, dict):
        holder[value if isinstance(value, str) else "extra"] = 1
    else:
        holder.append(value)
    return document


@pytest.mark.parametrize("number", range(len(DOCUMENTS)))
def test_a_valid_document_round_trips(number: int) -> None:
    params = parse_params(copy.deepcopy(DOCUMENTS[number]))
    again = parse_params(params.model_dump(by_alias=True, exclude_unset=True))
    assert again == params
    assert Params.model_validate_json(params.model_dump_json(by_alias=True, exclude_unset=True)) == params


@settings(CI, max_examples=250)
@given(where=st.sampled_from(PLACES), how=st.sampled_from(["value"] * 5 + ["removed", "added"]), value=VALUES)
def test_a_changed_document_is_taken_or_refused_by_the_name_of_its_key(
    where: tuple[int, tuple[Any, ...]], how: str, value: Any
) -> None:
    number, place = where
    try:
        params = parse_params(changed(number, place, how, value), "params.yaml")
    except GraftError as error:
        message = str(error)
        assert message.startswith("params.yaml: ")
        assert len(message) < 2_000
        added = str(value) if isinstance(value, str) else "extra"
        keys = [repr(key).strip("'\"")[:40] for key in (*place, added) if isinstance(key, str) and key]
        assert any(key in message for key in keys), f"{place} = {value!r}: {message}"
    else:
        assert parse_params(params.model_dump(by_alias=True, exclude_unset=True)) == params


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        ("train.strategies.frozen_small.head", 5, "head' is 5 (int)"),
        ("serve.max_images", 10**400, "'serve.max_images' is 1000"),
        ("monitor.permutations", 10**400, "'monitor.permutations' is 1000"),
        (
            "sweep.try",
            {"a": {"learning_rate": {"low": 1, "high": 10**400}}},
            "'sweep.try.a.learning_rate.high' is 1000",
        ),
        ("sweep.try", {"a": {"learning_rate": {(1, 2): 3}}}, "the key (1, 2) below 'sweep.try.a.learning_rate'"),
        ("split.val_size", float("inf"), "'split.val_size' is inf"),
        ("validate.max_aspect", float("nan"), "'validate.max_aspect' is nan"),
        ("split.group_by", "(" * 10_000, "split.group_by: '((("),
        ("split.group_by", "(a{99999999999})", "is not a regular expression"),
        ("evaluate.batch_size", "x" * 5_000, "'evaluate.batch_size' is 'xxx"),
        ("evaluate." + "x" * 5_000, 1, "unknown key 'evaluate.xxx"),
        ("evaluate", {1: 2}, "the key 'evaluate.1'. Keys should be text."),
    ],
    ids=lambda value: str(value)[:40],
)
def test_fuzz_what_was_found_in_params_is_refused_by_the_name_of_its_key(place: str, value: Any, words: str) -> None:
    document = copy.deepcopy(SHIPPED)
    *above, last = place.replace("frozen_small", next(iter(SHIPPED["train"]["strategies"]))).split(".")
    holder = document
    for key in above:
        holder = holder.setdefault(key, {})
    holder[last] = value
    with pytest.raises(GraftError) as refused:
        parse_params(document)
    assert words in str(refused.value)
    assert len(str(refused.value)) < 1_000
