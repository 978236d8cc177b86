"""Name code by what it does: results that are cached under such a name are made anew when the code changes.

Comments, docstrings, imports, the layout of the text and the file that a definition stands in have no part in the
name, so that a comment or a move makes nothing anew.

What a file comes to is kept beside its compiled form, in ``__pycache__``, with the hash of the text that it is of: to
work it out takes a hundredth of a second a file, and a training asks for 150 of them.
"""

import ast
import functools
import hashlib
import importlib.util
import json
import sys
from contextlib import suppress
from pathlib import Path

from graft.core.files import write_file

_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@functools.cache
def source_digest(*files: Path) -> str:
    """Return a digest of the code in ``files``, as it was when it was first asked for; 16 hex digits.

    Args:
        files: of Python source. Their order and their names have no part in the digest.
    """
    statements = sorted(text for path in files for text in _kept_statements(path))
    return hashlib.sha256("\0".join(statements).encode()).hexdigest()[:16]


def with_imports(path: Path) -> list[Path]:
    """Return a file of source, and the files beside it that it imports by ``from .name``, and those that they do."""
    wanted, found = [path], set()
    while wanted:
        file = wanted.pop()
        found.add(file)
        nodes = ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        modules = [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.level == 1]
        wanted += {path.with_name(f"{module}.py") for module in modules if module} - found
    return sorted(found)


@functools.cache
def _own_text() -> bytes:
    return Path(__file__).read_bytes()


def _kept_statements(path: Path) -> list[str]:
    """Return the statements of a module, see :func:`_statements`, as kept beside it or worked out now."""
    source = path.read_bytes()
    # With this file's own text: where it changes what counts as the same, what was kept counts no more.
    of_source = hashlib.sha256(source + _own_text()).hexdigest()
    kept = Path(importlib.util.cache_from_source(str(path))).with_suffix(".statements")
    with suppress(OSError, ValueError, KeyError, TypeError):
        found = json.loads(kept.read_text(encoding="utf-8"))
        if found["source"] == of_source:
            return list(found["statements"])
    statements = _statements(source.decode())
    if not sys.dont_write_bytecode:
        with suppress(OSError):  # a place that may not be written, such as an installed package's
            write_file(kept, json.dumps({"source": of_source, "statements": statements}))
    return statements


def _statements(source: str) -> list[str]:
    """Return each statement of a module, without what a computer does not act on.

    As text from :func:`ast.unparse`, not :func:`ast.dump`, whose form differs between versions of Python.
    """
    module = ast.parse(source)
    for node in ast.walk(module):
        if isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
        for field in ("body", "orelse", "finalbody"):
            block = getattr(node, field, None)
            if isinstance(block, list):
                setattr(node, field, [one for one in block if not isinstance(one, ast.Import | ast.ImportFrom)])
    return [ast.unparse(_filled(one)) for one in module.body]


def _filled(statement: ast.stmt) -> ast.stmt:
    """Return a statement in which each block that imports alone stood in is ``pass``: what is empty has no text."""
    for node in ast.walk(statement):
        if isinstance(getattr(node, "body", None), list) and not node.body:  # type: ignore[attr-defined]
            node.body = [ast.Pass()]  # type: ignore[attr-defined]
    return statement
