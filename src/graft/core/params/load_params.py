"""Read params.yaml: YAML 1.2 as DVC reads it, checked, with errors that name key, value and remedy."""

import sys
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from graft.core.errors import GraftError, did_you_mean, shown
from graft.core.params.models import Params
from graft.core.project import Project
from graft.core.yaml_text import read_yaml

MOST = 10**18  # of whole numbers: they are counted in 64 bits, and compared with floats


def load_params(path: Path) -> Params:
    """Read params from a YAML file.

    Raises:
        GraftError: the file is missing, is not YAML, or a key or a value in it is wrong; the message names
            the first such key with its value and what would be right, and counts the others.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise GraftError(f"There is no {path.name} in {path.parent}", "Restore it with git") from None
    project = Project(path.parent.absolute())
    return parse_params(read_yaml(content, path.name), path.name, (project.root, project.home))


def parse_text(text: str, source: str = "params.yaml") -> Params:
    """Read params from the text of a file; ``source`` names it in errors. Raises as :func:`load_params` does."""
    return parse_params(read_yaml(text, source), source)


def parse_params(raw: Any, source: str = "params.yaml", folders: Sequence[Path] | None = None) -> Params:
    """Make params of parsed YAML; ``source`` names it in errors. Raises as :func:`load_params` does.

    Args:
        folders: where relative paths may begin beside the working directory.
    """
    _require_plain(raw, source)
    raw = {} if raw is None else _renamed(raw, source)
    try:
        return Params.model_validate(raw, context=folders)
    except ValidationError as error:
        what, fix = _explain(error.errors()[0], raw)
        more = error.error_count() - 1
        others = f" ({more} more after this one)" if more else ""
        raise GraftError(f"{source}: {what}{others}", fix) from None


def _require_plain(raw: Any, source: str) -> None:
    """Raise GraftError where a key of parsed YAML is a list or a mapping, or a whole number has no float near it."""
    open_places: list[tuple[Any, tuple[str, ...]]] = [(raw, ())]
    seen: set[int] = set()  # anchors may lead back
    while open_places:
        value, place = open_places.pop()
        if isinstance(value, dict | list) and id(value) not in seen:
            seen.add(id(value))
            keys = value if isinstance(value, dict) else range(len(value))
            for key in keys:
                if isinstance(key, tuple | frozenset):
                    raise GraftError(f"{source}: the key {shown(key)} below '{'.'.join(place)}'", "Keys should be text")
                open_places.append((value[key], (*place, shown(key).strip("'"))))
        elif isinstance(value, int) and abs(value) > MOST:
            raise GraftError(f"{source}: '{'.'.join(place)}' is {shown(value)}", f"Numbers go up to {MOST:.0e}")


def _renamed(raw: Any, source: str) -> Any:
    """Return the parsed YAML with the key that took the place of an old one; stderr says what to write."""
    section = raw.get("validate") if isinstance(raw, dict) else None
    if not isinstance(section, dict) or "max_broken_share" not in section:
        return raw
    rest = {key: value for key, value in section.items() if key != "max_broken_share"}
    share = section["max_broken_share"]
    if "max_left_out" in rest:
        words = f"Remove validate.max_broken_share from {source}: validate.max_left_out is what counts."
    else:
        words = (
            f"Write max_left_out: {share} in {source} for validate.max_broken_share: {share}, which is read as that: "
            "the share of all images that may be left out, for whatever reason."
        )
    print(words, file=sys.stderr)
    return {**raw, "validate": {"max_left_out": share, **rest}}


def _explain(problem: Any, raw: Any) -> tuple[str, str]:
    """Return one pydantic problem as (what was found, what would be right)."""
    location = problem["loc"]
    kind = problem["type"]
    key = ".".join(_without_tags(location, raw, kind == "missing"))
    if kind == "extra_forbidden":
        known = _known_keys(location)
        return f"unknown key '{key}' (value {shown(problem['input'])})", did_you_mean(str(location[-1]), known)
    if kind == "invalid_key":
        return f"the key '{key}'", "Keys should be text"
    if kind == "missing":
        return f"key '{key}' is missing", "Add it, or restore params.yaml with git"
    if kind == "value_error":
        # What concerns several sections has no key of its own; its message names them.
        return f"{key}: {problem['ctx']['error']}".removeprefix(": "), ""
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        context = problem["ctx"]
        tag = context["discriminator"].strip("'")
        expected = context.get("expected_tags", "")
        if kind == "union_tag_not_found":
            return f"'{key}' has no '{tag}'", "Add it"
        known = [name.strip(" '") for name in expected.split(",")]
        return f"'{key}.{tag}' is {shown(context['tag'])}", did_you_mean(str(context["tag"]), known)
    if kind == "string_pattern_mismatch":
        return (
            f"the name {shown(problem['input'])} in '{key}'",
            "Start with a letter and use letters, digits, - and _",
        )
    requirement = problem["msg"].removeprefix("Input should be ").removeprefix("a valid ")
    return (f"'{key}' is {shown(problem['input'])} ({type(problem['input']).__name__})", f"It should be {requirement}")


def _without_tags(location: Sequence[Any], raw: Any, is_missing: bool) -> list[str]:
    """Return the keys of a location that stand in the user's file.

    A tagged union adds its tag (frozen, keras, ...) to the location, and an error in a key the word ``[key]``.

    Args:
        is_missing: whether the last part is a key that the file lacks.
    """
    names = []
    for place, part in enumerate(location, 1):
        is_there = part in raw if isinstance(raw, dict) else isinstance(raw, list) and isinstance(part, int)
        if is_there:
            raw = raw[part]
        if is_there or (is_missing and place == len(location)):
            names.append(shown(part).strip("'"))
    return names


def _known_keys(location: Sequence[Any]) -> list[str]:
    """Return the keys that may stand where the last of a location does; tags in it choose among models."""
    models: list[type[BaseModel]] = [Params]
    for part in location[:-1]:
        fields = [
            field for model in models for name, field in model.model_fields.items() if part in (name, field.alias)
        ]
        if fields:
            models = [model for field in fields for model in _models_in(field.annotation)]
        else:
            # A tag; else a name in a dict or a place in a list, which all lead to the same.
            models = [model for model in models if part in _tags(model)] or models
    return [field.alias or name for model in models for name, field in model.model_fields.items()]


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in typing.get_args(annotation) for model in _models_in(part)]


def _tags(model: type[BaseModel]) -> list[Any]:
    fields = [model.model_fields[name] for name in ("kind", "source") if name in model.model_fields]
    return [tag for field in fields for tag in typing.get_args(field.annotation)]
