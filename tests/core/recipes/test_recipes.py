"""Every recipe there is: its record, its data set, and settings that the whole pipeline can take."""

import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from graft.core.errors import GraftError
from graft.core.params.load_params import parse_text
from graft.core.params.strategy_params import TransferParams
from graft.core.recipes import RECORDS, read_recipe, recipe_names, with_recipe
from graft.data.sources.catalogue import find_entry

every_recipe = pytest.mark.parametrize("name", recipe_names())
# Not those that are a command and nothing to set.
every_recipe_with_settings = pytest.mark.parametrize(
    "name", [name for name in recipe_names() if read_recipe(name).sections]
)


@pytest.fixture(scope="module")
def shipped(repository: Path) -> str:
    return (repository / "params.yaml").read_text(encoding="utf-8")


@every_recipe
def test_the_head_comment_says_what_to_expect_and_how_to_see_it(name: str) -> None:
    records = read_recipe(name).records
    assert tuple(records) == RECORDS
    assert all(records.values()), records
    if read_recipe(name).sections:
        assert re.search(rf"\b{name}\b", records["Command"])


@every_recipe
def test_the_data_set_is_in_the_catalogue(name: str) -> None:
    entry = find_entry(read_recipe(name).data)
    method = (YAML(typ="safe").load(read_recipe(name).text).get("split") or {}).get("method")
    assert method != "official" or entry.is_official


@every_recipe_with_settings
def test_the_params_are_valid_and_say_what_size_images_have(name: str, shipped: str) -> None:
    recipe = read_recipe(name)
    assert {"split", "train"} <= set(recipe.sections)
    train = parse_text(with_recipe(shipped, recipe), name).train
    assert set(train.run) <= set(train.strategies)
    own = YAML(typ="safe").load(recipe.text)["train"]
    for strategy in train.run:
        stated = {**own, **own["strategies"][strategy]}
        assert "image_size" in stated
        assert "backbone" in stated or not isinstance(train.strategies[strategy], TransferParams)


@every_recipe_with_settings
def test_every_setting_that_dvc_watches_is_there(name: str, shipped: str, repository: Path) -> None:
    # DVC stops where one is missing, whatever default it has here.
    params = YAML(typ="safe").load(with_recipe(shipped, read_recipe(name)))
    stages = YAML(typ="safe").load((repository / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    watched = {key for stage in stages.values() for key in stage_params(stage, params)}
    assert f"train.strategies.{params['train']['run'][0]}" in watched
    for key in watched:
        lookup(params, key)


def stage_params(stage: dict[str, Any], params: dict[str, Any]) -> list[str]:
    """The settings that a stage of dvc.yaml watches, for each item of its matrix."""
    keys: list[str] = stage.get("params", [])
    for item, source in stage.get("matrix", {}).items():
        values = lookup(params, source.strip("${}"))
        keys = [key.replace(f"${{item.{item}}}", value) for key in keys for value in values]
    return keys


def lookup(params: Any, key: str) -> Any:
    for part in key.split("."):
        assert part in params, f"{key} is missing"
        params = params[part]
    return params


@every_recipe_with_settings
def test_other_sections_keep_every_byte(name: str, shipped: str) -> None:
    recipe = read_recipe(name)
    text = with_recipe(shipped, recipe)
    blocks = re.split(r"(?m)^(?=\w)", shipped)
    kept = [block for block in blocks if block.partition(":")[0] not in {*recipe.sections, "ensemble"}]
    assert len(kept) >= 3  # the file's head, evaluate and register
    for block in kept:
        assert block in text


@every_recipe_with_settings
def test_the_recipe_stands_in_params_as_in_its_file(name: str, shipped: str) -> None:
    recipe = read_recipe(name)
    text = with_recipe(shipped, recipe)
    lines = text.splitlines()
    for line in re.split(r"(?m)^data:.*\n", recipe.text)[1].splitlines():
        assert line in lines
    assert with_recipe(text, recipe) == text


def test_an_unknown_recipe_names_the_nearest() -> None:
    name = recipe_names()[0]
    with pytest.raises(GraftError, match=f"no recipe '{name}s'. Did you mean '{name}'"):
        read_recipe(name + "s")
