"""Putting sections into the text of params.yaml: what changes, and above all what does not."""

import pytest
from ruamel.yaml import YAML

from graft.core.errors import GraftError
from graft.core.recipes.splicing import splice

PARAMS = """\
# Everything you can set.

validate:
  'max_aspect':   4      # spelled as I like it

# about the split
split:
  method: auto
  # near the end
  seed: 13               # of the split,
                         # and of nothing else

# about training
train:
  run: [old]
  seed: 7                # my lucky number:
                         # keep it
  precision: float32
  strategies:
    old: {kind: frozen}
# about ensembles
ensemble:
  run: [mean]
  ensembles:
    mean: {of: [old, older]}

# about evaluate
evaluate:
  batch_size: 64         # last line"""

RECIPE = """\
# Published  nothing
title: A title
data: somewhere

split:
  method: stratified     # as published

train:
    run: [new]
    image_size: 224

    # what is trained
    strategies:
        new: {kind: scratch}   # from nothing
"""


def test_sections_are_replaced_and_all_else_stays() -> None:
    assert (
        splice(PARAMS, RECIPE, ["split", "train"])
        == """\
# Everything you can set.

validate:
  'max_aspect':   4      # spelled as I like it

# about the split
split:
  method: stratified     # as published

# about training
train:
    run: [new]
    image_size: 224

    # what is trained
    strategies:
        new: {kind: scratch}   # from nothing
    seed: 7                # my lucky number:
                           # keep it
    precision: float32
# about ensembles
ensemble:
  run: []                      # ensembles of the strategies above to make

# about evaluate
evaluate:
  batch_size: 64         # last line
"""
    )


def test_what_the_recipe_says_itself_is_not_kept() -> None:
    recipe = RECIPE.replace("    image_size: 224\n", "    image_size: 224\n    seed: 3\n")
    train = YAML(typ="safe").load(splice(PARAMS, recipe, ["train"]))["train"]
    assert train == {
        "run": ["new"],
        "image_size": 224,
        "seed": 3,
        "strategies": {"new": {"kind": "scratch"}},
        "precision": "float32",
    }


def test_a_section_that_params_lacks_goes_to_the_end() -> None:
    text = "train:\n  run: [old]\n"
    spliced = YAML(typ="safe").load(splice(text, RECIPE, ["split", "train"]))
    assert list(spliced) == ["train", "split", "ensemble"]
    assert spliced["split"] == {"method": "stratified"}
    assert splice("", RECIPE, ["split"]) == "\nsplit:\n  method: stratified     # as published\n"


def test_ensembles_of_the_recipe_take_the_place_of_others() -> None:
    ensemble = "ensemble:\n  run: [both]\n  ensembles:\n    both: {of: [new, newer]}\n"
    spliced = splice(PARAMS, f"{RECIPE}\n{ensemble}", ["train", "ensemble"])
    assert f"# about ensembles\n{ensemble}\n# about evaluate" in spliced


@pytest.mark.parametrize(
    "text, message",
    [
        ("{split: {}, train: {}}\n", "sections in braces on line 1"),
        ("split: {}\ntrain: {seed: 3}\n", "sections in braces on line 2"),
        ("- split\n", "holds no sections"),
        ("split:\n  method: auto\n train: {}\n", "params.yaml line 3 is not valid YAML"),
    ],
)
def test_what_cannot_be_put_together_is_refused(text: str, message: str) -> None:
    with pytest.raises(GraftError, match=message):
        splice(text, RECIPE, ["split", "train"])
