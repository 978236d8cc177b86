"""Words of src/graft: one name for one thing, first lines that are orders, and the trade's words in names.

Ruff's D401 knows most verbs that are no orders. What it passes over are lines that begin with no verb at all.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

GRAFT = Path(__file__).parents[1] / "src" / "graft"
FILES = {path.relative_to(GRAFT).as_posix(): ast.parse(path.read_text("utf-8")) for path in GRAFT.rglob("*.py")}
# What a line begins with that describes rather than orders.
NO_ORDERS = frozenset(
    re.findall(
        r"\w+",
        "a all an as both by each every for from how in it its no none of one other several some that the their these "
        "this those to two under until what when where whether which while who whose why with without",
    )
)
# Of the project's private language; CONTRIBUTING.md has the words that took their place.
PRIVATE_WORDS = frozenset({"trunk", "road", "roads"})


def functions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Functions with a docstring but properties, which are named for what they are, each with its place."""
    for path, tree in FILES.items():
        for node in ast.walk(tree):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or ast.get_docstring(node) is None:
                continue
            decorators = {ast.unparse(decorator).split("(")[0].split(".")[-1] for decorator in node.decorator_list}
            if decorators.isdisjoint({"property", "cached_property"}):
                yield f"{path}:{node.lineno}", node


def test_a_first_line_begins_with_a_verb() -> None:
    lines = [(place, (ast.get_docstring(node) or "").split("\n")[0]) for place, node in functions()]
    assert len(lines) > 1000
    assert [(place, line) for place, line in lines if re.split(r"\W+", line.lower())[0] in NO_ORDERS] == []


def test_no_two_files_share_a_name() -> None:
    names = [path.rpartition("/")[2] for path in FILES if not path.endswith("__init__.py")]
    assert sorted({name for name in names if names.count(name) > 1}) == []


def test_no_two_classes_share_a_name() -> None:
    names = [node.name for tree in FILES.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    assert sorted({name for name in names if names.count(name) > 1}) == []


def test_names_are_the_trade_s_words() -> None:
    found = set()
    for path, tree in FILES.items():
        for node in ast.walk(tree):
            name = getattr(node, "name", None) or getattr(node, "id", None) or getattr(node, "arg", None)
            if isinstance(name, str) and not PRIVATE_WORDS.isdisjoint(re.findall(r"[a-z]+", name.lower())):
                found.add((path, name))
    assert found == set()
