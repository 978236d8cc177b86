"""README and docs: made pages are as the code is, every command in them is one, every link leads somewhere."""

import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.exceptions import TyperException
from typer.main import get_command

from graft.cli import main

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
TREE: Any = get_command(main.app)


def reference() -> Any:
    spec = importlib.util.spec_from_file_location("reference", ROOT / "docs" / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_commands_and_settings_are_as_the_code_has_them() -> None:
    made = reference().pages()
    assert len(made) == 2
    for page, text in made.items():
        assert page.read_text(encoding="utf-8") == text, f"{page.name} is out of step: run `make docs`"


def without_blocks(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


def commands(text: str) -> Iterator[str]:
    """Commands of graft in blocks without a language, and between backticks."""
    for block in re.findall(r"^```(?:sh|bash)?\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        for line in block.replace("\\\n", " ").splitlines():
            yield from re.findall(r"(?:^|&& |\$\(|\$ )\s*(graft (?:(?!\s#)[^)&|])*)", line)
    for inline in re.findall(r"`(graft [a-z-][^`]*)`", without_blocks(text)):
        yield from re.findall(r"(?:^|&& )(graft [^&|]*)", inline)


# Usage lines of commands.md are made from the tree itself.
FOUND = sorted(
    {
        (page.name, " ".join(one.split()))
        for page in PAGES
        if page.name != "commands.md"
        for one in commands(page.read_text("utf-8"))
    }
)


def test_there_are_commands_to_look_at() -> None:
    assert len(FOUND) > 60


@pytest.mark.parametrize(("page", "line"), [pytest.param(*one, id=": ".join(one)) for one in FOUND])
def test_every_command_in_the_docs_is_one(page: str, line: str) -> None:
    _, *words = shlex.split(line)
    command: Any = TREE
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
    if command is TREE:
        assert words[0] in ("--version", "--install-completion", "COMMAND"), f"{page} names no command: {line}"
        return
    if not words:
        return  # named without its arguments
    try:
        command.make_context("graft", words)
    except TyperException as error:
        assert "Missing" in error.format_message(), f"{page}: {line}: {error.format_message()}"  # named without it


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", without_blocks(page.read_text("utf-8"))):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor and target.suffix == ".md":
            titles = re.findall(r"^#+ (.+)$", target.read_text("utf-8"), re.MULTILINE)
            slugs = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
            assert anchor in slugs, link


def test_the_readme_is_short_and_the_index_has_every_page() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 150
    index = (ROOT / "docs" / "README.md").read_text("utf-8")
    names = {page.name for page in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert {name for name in names if f"({name})" not in index} == set()
