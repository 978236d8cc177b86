"""Write docs/commands.md and docs/settings.md from the code: `make docs`, or `python docs/reference.py`.

A test holds both against the code, so that neither can fall out of step.
"""

import re
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined
from rich.text import Text
from typer.core import TyperOption
from typer.main import get_command

from graft.cli import main
from graft.core.params import Params

ROOT = Path(__file__).parents[1]
MADE = "<!-- Made by `make docs` from the code: change the help or the docstrings there. -->"


def plain(text: str | None) -> str:
    """Return help as one line of Markdown for a cell of a table; rich's markup and reStructuredText's roles go."""
    words = Text.from_markup(text or "").plain
    words = re.sub(r":\w+:`~?([^`]+)`", r"`\1`", words).replace("``", "`")
    return " ".join(words.split()).replace("|", "\\|")


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Return a table of Markdown."""
    lines = ["| " + " | ".join(cells) + " |" for cells in (head, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]])


def commands() -> dict[tuple[str, ...], Any]:
    """Return every command by the words that call it, groups left out."""

    def walk(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
        below = getattr(command, "commands", {})
        if path and (not below or getattr(command, "invoke_without_command", False)):
            yield path, command
        for name, one in below.items():
            yield from walk(one, (*path, name))

    return dict(walk(get_command(main.app), ()))


def commands_page() -> str:
    """Return docs/commands.md."""
    parts = ["# Every command", MADE, "`graft COMMAND -h` says the same. A word in capitals is yours to fill in."]
    for path, command in commands().items():
        if command.hidden:
            continue
        arguments = [one for one in command.params if not isinstance(one, TyperOption)]
        named = " ".join(
            f"[{name}]{dots}" if not one.required else f"{name}{dots}"
            for one in arguments
            for name, dots in [(one.metavar or one.name.upper(), "..." if one.nargs == -1 else "")]
        )
        words = " ".join(("graft", *path, *(["[OPTIONS]"] if len(command.params) > len(arguments) else []), named))
        text = "\n\n".join(plain(part) for part in (command.help or "").split("\n\n"))
        parts += [f"## graft {' '.join(path)}", text, f"```\n{words.strip()}\n```"]
        if rows := [_row(one) for one in command.params if not getattr(one, "hidden", False) and one.name != "help"]:
            parts.append(table(("", "", "default"), rows))
    return "\n\n".join(parts) + "\n"


def _row(one: Any) -> tuple[str, ...]:
    if not isinstance(one, TyperOption):
        name = one.metavar or one.name.upper()
    else:
        name = ", ".join((*one.opts, *one.secondary_opts))
        name += f" {one.metavar}" if one.metavar and not one.is_flag else ""
    default = one.default
    shown = "" if callable(default) or default in (None, False, (), []) or one.required else f"`{default}`"
    return f"`{name}`", plain(one.help), "required" if one.required else shown


def comments(params: str) -> dict[str, str]:
    """Return the comments of params.yaml by dotted key."""
    found: dict[str, str] = {}
    path: list[tuple[int, str]] = []
    for line in params.splitlines():
        key = re.match(r"( *)([\w.]+):(?: |$)", line)
        comment = re.search(r"(?:^|\s)#\s?(.*)$", line)
        if key:
            depth = len(key[1])
            path = [*[one for one in path if one[0] < depth], (depth, key[2])]
            if comment:
                found[".".join(name for _, name in path)] = comment[1]
        elif comment and path and line.startswith(" "):
            name = ".".join(name for _, name in path)
            found[name] = f"{found[name]} {comment[1].strip()}" if name in found else comment[1].strip()
    return found


def attributes(model: type[BaseModel]) -> dict[str, str]:
    """Return what docstrings say of a model's fields, inherited ones included."""
    found: dict[str, str] = {}
    for cls in reversed(model.__mro__):
        _, _, listed = (cls.__doc__ or "").partition("Attributes:\n")
        entries = re.findall(r"^ {8}([\w, ]+): (.*(?:\n {9,}.*)*)", listed, re.M)
        found |= {name.strip(): text for names, text in entries for name in names.split(",")}
    return found


def allowed(annotation: Any, metadata: tuple[Any, ...] = ()) -> str:
    """Return in words what a field takes."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        inner, *more = typing.get_args(annotation)
        return allowed(inner, (*more, *metadata))
    if origin is typing.Literal:
        return ", ".join(map(str, typing.get_args(annotation)))
    if origin in (typing.Union, types.UnionType):
        members = [one for one in typing.get_args(annotation) if one is not type(None)]
        return " or ".join(dict.fromkeys(allowed(one) for one in members))
    if origin in (list, tuple):
        return f"list of {allowed(typing.get_args(annotation)[0])}"
    if origin is dict:
        return f"by name: {allowed(typing.get_args(annotation)[1])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"[{annotation.__name__}](#{annotation.__name__.lower()})"
    words = {int: "whole number", float: "number", str: "text", bool: "true or false"}.get(annotation, "any")
    flat = [part for one in metadata for part in (one, *getattr(one, "metadata", ()))]
    limits = [
        f"{sign} {getattr(part, name):g}"
        for name, sign in (("ge", "from"), ("gt", "above"), ("le", "to"), ("lt", "below"))
        for part in flat
        if getattr(part, name, None) is not None
    ]
    return " ".join([words, *limits])


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """Return the sections that an annotation names, in order."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in typing.get_args(annotation) for model in models_in(part)]


def settings_page(params: str) -> str:
    """Return docs/settings.md; ``params`` is the text of params.yaml, whose comments stand beside the settings."""
    said = comments(params)
    parts = [
        "# Every setting",
        MADE,
        "All of them stand in [params.yaml](../params.yaml), each with the reason for its value. A key that is left "
        "out has the default; an unknown one is an error that names what would be right.",
    ]
    for name, field in Params.model_fields.items():
        title = field.alias or name
        parts += [f"## {title}", plain(said.get(title, ""))]
        pending, done = [(model, title) for model in models_in(field.annotation)], set[type]()
        while pending:
            model, path = pending.pop(0)
            if model in done:
                continue
            done.add(model)
            tags = [model.model_fields[name].annotation for name in ("kind", "source") if name in model.model_fields]
            word = next((typing.get_args(tag)[0] for tag in tags if typing.get_origin(tag) is typing.Literal), "")
            place = _place(path, word, params)
            parts += [f"### {model.__name__}", f"`{path}`{f', of kind `{word}`' if word else ''}: {_first(model)}"]
            # params.yaml shows one source and some kinds; what it says of these is not said of others.
            is_shown = not word or re.search(rf"\b(kind|source): {word}\b", params)
            texts, rows = attributes(model), []
            for key, one in model.model_fields.items():
                takes = allowed(one.annotation, tuple(one.metadata))
                reason = said.get(f"{place}.{key}", "") if is_shown else ""
                rows.append((f"`{key}`", takes, _default(one), plain(texts.get(key)), plain(reason)))
                pending += [(below, f"{path}.{key}") for below in models_in(one.annotation)]
            parts.append(table(("key", "takes", "default", "what it is", "in params.yaml"), rows))
    return "\n\n".join(part for part in parts if part) + "\n"


def _place(path: str, word: str, params: str) -> str:
    """Return where params.yaml has an example of a model: of a strategy, the one of its kind."""
    if not word or not path.endswith("strategies"):
        return path
    example = re.search(rf"^    (\w+):.*\n(?:      .*\n)*?      kind: {word}\b", params, re.M)
    return f"{path}.{example[1]}" if example else path


def _first(model: type[BaseModel]) -> str:
    return plain((model.__doc__ or "").split("Attributes:")[0])


def _default(field: Any) -> str:
    if field.default is PydanticUndefined:
        return "required" if field.default_factory is None else ""
    if isinstance(field.default, BaseModel):
        return ""
    if isinstance(field.default, bool):
        return f"`{str(field.default).lower()}`"
    return "" if field.default is None else f"`{field.default}`"


def pages() -> dict[Path, str]:
    """Return both pages by their files."""
    return {
        ROOT / "docs/commands.md": commands_page(),
        ROOT / "docs/settings.md": settings_page((ROOT / "params.yaml").read_text(encoding="utf-8")),
    }


if __name__ == "__main__":
    for page, text in pages().items():
        page.write_text(text, encoding="utf-8")
        print(page.relative_to(ROOT))
