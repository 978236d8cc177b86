"""Put a recipe's sections into the text of params.yaml, line by line: all else keeps every byte.

A YAML library that writes the whole file back would take comments between two sections for a part of the first,
and lose them with it.
"""

import textwrap
from typing import Any

from ruamel.yaml import YAML

from graft.core.errors import GraftError
from graft.core.yaml_text import read_yaml

# Of train: where no recipe names them, the user's stay. They tell the draw and the machine rather than the
# experiment, and DVC, which watches them, stops where one is missing.
SHARED = ("seed", "precision", "deterministic", "validation", "backbone", "store")
# Ensembles are of strategies: the user's go with the strategies that a recipe replaces.
NO_ENSEMBLES = ["ensemble:\n", "  run: []                      # ensembles of the strategies above to make\n"]


def splice(params_text: str, recipe_text: str, sections: list[str]) -> str:
    """Return the text of params.yaml with these sections of the recipe in place of its own.

    Args:
        sections: top-level keys of the recipe. One that params.yaml lacks is put at its end.

    Raises:
        GraftError: params.yaml is not YAML, or holds its sections in braces rather than in lines.
    """
    params, recipe = _Lines(params_text, "params.yaml"), _Lines(recipe_text, "the recipe")
    lines = list(params.lines)
    blocks = {section: recipe.block(section) for section in sections}
    if "train" in blocks:
        blocks["train"] += _left_out(recipe, params)
        blocks.setdefault("ensemble", NO_ENSEMBLES)
    # From the end, so that line numbers before it stay true.
    there = [section for section in blocks if section in params.spans]
    for section in sorted(there, key=lambda section: params.spans[section].start, reverse=True):
        span = params.spans[section]
        lines[span.start : span.stop] = blocks[section]
    for section in [section for section in blocks if section not in params.spans]:
        lines += ["\n", *blocks[section]]
    return "".join(lines)


class _Lines:
    """A YAML file as lines, and which of them its sections are."""

    def __init__(self, text: str, source: str) -> None:
        self.lines = text.splitlines(keepends=True)
        if self.lines and not self.lines[-1].endswith("\n"):
            self.lines[-1] += "\n"
        self.content = read_yaml(text, source, yaml=YAML())
        self.source = source
        self.spans = self._spans(self.content, len(self.lines)) if self.content is not None else {}

    def block(self, section: str) -> list[str]:
        """Return the lines of a section, its key among them."""
        span = self.spans[section]
        return self.lines[span.start : span.stop]

    def settings(self, section: str) -> dict[str, list[str]]:
        """Return the lines of each setting of a section."""
        if section not in self.spans:
            return {}
        spans = self._spans(self.content[section], self.spans[section].stop)
        return {name: self.lines[span.start : span.stop] for name, span in spans.items()}

    def _spans(self, mapping: Any, end: int) -> dict[str, range]:
        if not hasattr(mapping, "lc") or not hasattr(mapping, "keys"):
            raise GraftError(f"{self.source} holds no sections", "Restore it with git")
        if mapping.fa.flow_style():
            raise GraftError(
                f"{self.source} has sections in braces on line {mapping.lc.line + 1}",
                "Give each setting a line of its own, or restore the file with git",
            )
        starts = [(name, *mapping.lc.key(name)) for name in mapping if name in mapping.lc.data]
        spans = {}
        for index, (name, line, column) in enumerate(starts):
            stop = starts[index + 1][1] if index + 1 < len(starts) else end
            # Comments in the column of the keys are about the key that follows.
            while stop > line + 1 and _is_between(self.lines[stop - 1], column):
                stop -= 1
            spans[name] = range(line, stop)
        return spans


def _is_between(line: str, column: int) -> bool:
    return not line.strip() or line.startswith(" " * column + "#")


def _left_out(recipe: _Lines, params: _Lines) -> list[str]:
    """Return the user's lines for what the recipe's train leaves out, indented as the recipe is."""
    own = recipe.settings("train")
    first = next(iter(own.values()))[0]
    indent = " " * (len(first) - len(first.lstrip()))
    lines = []
    for name, block in params.settings("train").items():
        if name in SHARED and name not in own:
            shifted = textwrap.indent(textwrap.dedent("".join(block)), indent)
            lines += shifted.splitlines(keepends=True)
    return lines
