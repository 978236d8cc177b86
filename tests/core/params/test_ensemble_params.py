"""The section ensemble: what is shipped is valid, and every mistake is named with its remedy."""

from typing import Any

import pytest
from tiny import tiny_params

from graft.core.errors import GraftError
from graft.core.model_folders import model_folders
from graft.core.project import Project

SMALL = tiny_params().train.strategies["small"].model_dump()


def parse(ensemble: dict[str, Any], run: tuple[str, ...] = ("one", "two")) -> Any:
    strategies = dict.fromkeys(("one", "two", "three"), SMALL)
    return tiny_params(ensemble, run=list(run), strategies=strategies)


def complaint(ensemble: dict[str, Any]) -> str:
    with pytest.raises(GraftError) as caught:
        parse(ensemble)
    return str(caught.value)


def test_none_is_made_unless_asked_for() -> None:
    params = parse({})
    assert (params.ensemble.run, params.ensemble.ensembles) == ([], {})


def test_weights_are_fitted_unless_asked_to_be_equal() -> None:
    ensembles = {"mean": {"of": ["one", "two"]}, "plain": {"of": ["two", "one"], "weights": "equal"}}
    params = parse({"run": ["mean"], "ensembles": ensembles}).ensemble
    assert params.ensembles["mean"].weights == "fitted"
    assert (params.ensembles["plain"].of, params.ensembles["plain"].weights) == (["two", "one"], "equal")


def test_model_folders_are_those_of_strategies_and_then_ensembles(tmp_path: Any) -> None:
    project = Project(tmp_path)
    params = parse({"run": ["mean"], "ensembles": {"mean": {"of": ["one", "two"]}}}, run=("two", "one"))
    assert list(model_folders(project, params).items()) == [
        ("two", project.strategy("two")),
        ("one", project.strategy("one")),
        ("mean", project.ensemble("mean")),
    ]


def test_members_of_an_ensemble_that_is_not_made_need_not_be_trained() -> None:
    assert parse({"ensembles": {"mean": {"of": ["one", "three"]}}}).ensemble.run == []


@pytest.mark.parametrize(
    ("of", "parts"),
    [
        (["one", "tow"], ["ensemble.ensembles.mean.of names 'tow'", "not under train.strategies. Did you mean 'two'?"]),
        (["one", "three"], ["names 'three', which train.run does not train", "take 'mean' out of ensemble.run"]),
        (["one", "mean"], ["names 'mean'", "not under train.strategies"]),
        (["one"], ["'ensemble.ensembles.mean.of' is ['one']", "at least 2"]),
        (["one", "one"], ["ensemble.ensembles.mean", "names a strategy twice"]),
        ("one", ["'ensemble.ensembles.mean.of' is 'one'", "list"]),
    ],
)  # fmt: skip
def test_a_wrong_member_is_named_with_what_would_be_right(of: Any, parts: list[str]) -> None:
    message = complaint({"run": ["mean"], "ensembles": {"mean": {"of": of}}})
    assert all(part in message for part in parts), message
    assert message.startswith("params.yaml: ")
    assert ": :" not in message


@pytest.mark.parametrize(
    ("section", "parts"),
    [
        ({"run": ["men"], "ensembles": {"mean": {"of": ["one", "two"]}}}, ["'men'", "Did you mean 'mean'?"]),
        ({"run": ["mean"]}, ["'mean', which is not under ensemble.ensembles. There is none"]),
        ({"run": ["m", "m"], "ensembles": {"m": {"of": ["one", "two"]}}}, ["names an ensemble twice"]),
        ({"ensembles": {"one": {"of": ["one", "two"]}}}, ["ensemble.ensembles.one has the name of a strategy"]),
        ({"ensembles": {"m": {"of": ["one", "two"], "weights": "fited"}}}, ["'fited'", "'fitted' or 'equal'"]),
        ({"ensembles": {"m": {"of": ["one", "two"], "wights": "equal"}}}, ["m.wights'", "Did you mean 'weights'?"]),
        ({"ensembles": {"../m": {"of": ["one", "two"]}}}, ["'../m'", "letters, digits"]),
    ],
)  # fmt: skip
def test_a_wrong_section_is_named_with_what_would_be_right(section: Any, parts: list[str]) -> None:
    message = complaint(section)
    assert all(part in message for part in parts), message
