"""Recipes: experiments of the field as ready-made settings over the catalogue, one short file each.

A recipe's head comment records what to expect of it: ``Published``, ``Measured`` (mean and range over seeds, or "not
measured here" with the reason), ``Machine`` and ``Command``. Below it stand ``title``, the ``data`` set, and whole
sections of params.yaml: those that a recipe names replace the user's, the others stay.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from graft.errors import GraftError, did_you_mean

FOLDER = Path(__file__).parent
# What the head comment says, in this order.
RECORDS = ("Published", "Measured", "Machine", "Command")


@dataclass(frozen=True)
class Recipe:
    """One recipe.

    Attributes:
        name: of its file.
        title: what it is, in a few words.
        data: name of the data set in the catalogue.
        text: the file as it is.
        sections: the sections of params.yaml that it holds.
        records: the head comment's entries, by the names in ``RECORDS``.
    """

    name: str
    title: str
    data: str
    text: str
    sections: dict[str, Any]
    records: dict[str, str]


def recipe_names() -> list[str]:
    """Names of all recipes, in order."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def read_recipe(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        GraftError: there is none.
    """
    path = FOLDER / f"{name}.yaml"
    if name not in recipe_names():
        raise GraftError(f"There is no recipe '{name}'", did_you_mean(name, recipe_names()))
    text = path.read_text(encoding="utf-8")
    content = YAML(typ="safe").load(text)
    title, data = content.pop("title"), content.pop("data")
    return Recipe(name, title, data, text, content, _records(text))


def with_recipe(params_text: str, recipe: Recipe) -> str:
    """The text of params.yaml with the recipe's sections in place of its own; all else stays as it is written.

    Ensembles are of strategies: those of the user do not outlive the strategies that a recipe replaces.
    """
    own = _sections(recipe.text)
    blocks = {**_sections(params_text), **{name: own[name] for name in recipe.sections}}
    if "train" in recipe.sections and "ensemble" not in recipe.sections:
        blocks["ensemble"] = (
            "ensemble:\n  run: []                      # ensembles of the strategies above to make"
        )
    return "\n\n".join(block.strip("\n") for block in blocks.values()) + "\n"


def _sections(text: str) -> dict[str, str]:
    """Top-level keys with their lines; what stands before the first one is under ``""``."""
    blocks: dict[str, list[str]] = {"": []}
    current = ""
    for line in text.splitlines():
        key = re.match(r"([A-Za-z_]\w*):", line)
        if key:
            current = key[1]
            blocks[current] = []
        blocks[current].append(line)
    return {name: "\n".join(lines) for name, lines in blocks.items()}


def _records(text: str) -> dict[str, str]:
    """Entries of the head comment; a line that begins with none of their names carries the one before on."""
    records: dict[str, str] = {}
    current = ""
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        words = line.removeprefix("#").strip()
        name, _, rest = words.partition(" ")
        if name in RECORDS:
            current, words = name, rest.strip()
            records[current] = words
        elif current and words:
            records[current] += f" {words}"
        else:
            current = ""
    return records
