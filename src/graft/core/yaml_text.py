"""Reading YAML 1.2, as DVC does, from files that people, git and DVC write."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graft.core.errors import GraftError

if TYPE_CHECKING:
    from ruamel.yaml import YAML

# Lists and mappings in each other that a document may hold: at 30,000 the stack of its parser, written in C, is full.
MAX_DEPTH = 2_000
_OPENING = re.compile(r"[-?:]\s")


def read_yaml(content: str | bytes, source: str, fix: str = "Correct that line", yaml: YAML | None = None) -> Any:
    """Return what a document holds.

    Args:
        content: text, or its bytes in UTF-8.
        source: names it in errors.
        fix: what to do about a document that cannot be read.
        yaml: the reader; by default one that makes plain values.

    Raises:
        GraftError: it is not UTF-8, not YAML, or nested too deep; the message names the line, where there is one.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        text = content if isinstance(content, str) else content.decode("utf-8")
        if _deepest(text) > MAX_DEPTH:
            raise RecursionError
        return (yaml or YAML(typ="safe")).load(text)
    except UnicodeDecodeError as error:
        number = error.object.count(b"\n", 0, error.start) + 1
        raise GraftError(f"{source} line {number} is not text in UTF-8", "Save the file as UTF-8") from None
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{source} line {mark.line + 1}" if mark else source
        problem = getattr(error, "problem", None) or "cannot be read"
        raise GraftError(f"{where} is not valid YAML: {problem}", fix) from None
    except RecursionError:
        raise GraftError(f"{source} is not valid YAML: it is nested too deep", fix) from None
    except Exception as error:
        # Its makers of dates and numbers raise what Python's do, and it stumbles over some keys and anchors.
        raise GraftError(f"{source} is not valid YAML: {error or type(error).__name__}", fix) from None


def _deepest(text: str) -> int:
    """Return a number that the depth of a document is not above: its brackets, and the most that a line opens."""
    if len(text) <= MAX_DEPTH:
        return 0
    brackets = text.count("[") + text.count("{")
    lines = (len(line) - len(line.lstrip()) + len(_OPENING.findall(line)) for line in text.splitlines())
    return brackets + max(lines, default=0)


def read_mapping(path: Path, fix: str) -> dict[str, Any]:
    """Return the mapping in a YAML file; empty where there is no such file.

    Raises:
        GraftError: it cannot be read, or holds something else, or nothing, as a full disk leaves it.
    """
    try:
        content = read_yaml(path.read_bytes(), str(path), fix)
    except FileNotFoundError:
        return {}
    if not isinstance(content, dict):
        found = "nothing" if content is None else f"a {type(content).__name__}"
        raise GraftError(f"{path} holds {found} where keys and values belong", fix)
    return content
