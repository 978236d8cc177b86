"""Recipes: experiments of the field as ready-made settings over the catalogue, one short file each.

A recipe's head comment records what to expect of it: ``Published``, ``Measured`` (mean and range over seeds, or "not
measured here" with the reason), ``Machine`` and ``Command``. Below it stand ``title``, the ``data`` set, and whole
sections of params.yaml: those that a recipe names replace the user's, the others stay. So do a few settings of
``train`` that a recipe leaves out (:mod:`graft.core.recipes.splicing`).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from graft.core.errors import GraftError, did_you_mean
from graft.core.recipes.splicing import splice

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
        sections: the sections of params.yaml that it holds, with their comments.
        records: the head comment's entries, by the names in ``RECORDS``.
    """

    name: str
    title: str
    data: str
    text: str
    sections: dict[str, Any]
    records: dict[str, str]


def recipe_names() -> list[str]:
    """Return the names of all recipes, in order."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def read_recipe(name: str) -> Recipe:
    """Return the recipe of that name.

    Raises:
        GraftError: there is none.
    """
    path = FOLDER / f"{name}.yaml"
    if name not in recipe_names():
        raise GraftError(f"There is no recipe '{name}'", did_you_mean(name, recipe_names()))
    text = path.read_text(encoding="utf-8")
    content = YAML().load(text)
    title, data = content.pop("title"), content.pop("data")
    return Recipe(name, title, data, text, dict(content), _records(text))


def with_recipe(params_text: str, recipe: Recipe) -> str:
    """Return the text of params.yaml with the recipe's sections in place of its own; all else stays, comments included.

    Ensembles are of strategies: those of the user do not outlive the strategies that a recipe replaces.

    Raises:
        GraftError: see :func:`graft.core.recipes.splicing.splice`.
    """
    return splice(params_text, recipe.text, list(recipe.sections))


def _records(text: str) -> dict[str, str]:
    """Return the entries of the head comment; a line that begins with none of their names carries the one before on."""
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
