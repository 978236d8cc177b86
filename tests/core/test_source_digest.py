"""Code is named by what it does: comments, docstrings, imports and places have no part in it, everything else has."""

import ast
import re
import sys
from pathlib import Path

import pytest

from graft.core.source_digest import source_digest
from graft.data.scan.scan_images import CODE as SCAN_CODE
from graft.networks.code_identity import ANSWERING, BACKBONES
from graft.training.head_export import CODE as EXPORT_CODE
from graft.training.views import view

NAMED = sorted(
    {*ANSWERING, *SCAN_CODE, *EXPORT_CODE, *BACKBONES.glob("*.py"), Path(view.__code__.co_filename)},
    key=lambda path: path.name,
)
SOURCE = '''
"""What it is for."""
import os

RATE = 0.5  # because


def scale(pixels):
    """Scale."""
    import numpy as np
    return np.asarray(pixels) * RATE
'''


def digest(folder: Path, source: str) -> str:
    """Under a name of its own: what was asked for once is not read again."""
    path = folder / f"code_{len(list(folder.iterdir()))}.py"
    path.write_text(source, encoding="utf-8")
    return source_digest(path)


@pytest.mark.parametrize(
    "other",
    [
        SOURCE.replace("# because", "# for another reason"),
        SOURCE.replace('"""Scale."""', '"""Scale, and say so at length."""'),
        SOURCE.replace('    """Scale."""\n', ""),
        SOURCE.replace("import os", "import sys\nfrom elsewhere import os"),
        SOURCE.replace("np.asarray(pixels) * RATE", "(np.asarray(pixels)\n            * RATE)"),
        SOURCE.replace("\n\n\n", "\n\n\n\n\n"),
    ],
    ids=["a comment", "a docstring", "no docstring", "imports", "a line break", "blank lines"],
)
def test_what_changes_no_result_changes_no_digest(tmp_path: Path, other: str) -> None:
    assert other != SOURCE
    assert digest(tmp_path, other) == digest(tmp_path, SOURCE)


@pytest.mark.parametrize(
    "other",
    [
        SOURCE.replace("0.5", "0.25"),
        SOURCE.replace("* RATE", "/ RATE"),
        SOURCE.replace("pixels):", "pixels, more=1):"),
        SOURCE + "\n\ndef another():\n    pass\n",
    ],
    ids=["a constant", "an operator", "a parameter", "a function"],
)
def test_what_may_change_a_result_changes_the_digest(tmp_path: Path, other: str) -> None:
    assert digest(tmp_path, other) != digest(tmp_path, SOURCE)


def test_a_definition_that_moves_to_another_file_changes_no_digest(tmp_path: Path) -> None:
    one, other, both = (tmp_path / f"{name}.py" for name in ("one", "other", "both"))
    one.write_text("A = 1\n")
    other.write_text("def f():\n    return A\n")
    both.write_text("def f():\n    return A\n\n\nA = 1\n")
    assert source_digest(one, other) == source_digest(other, one) == source_digest(both)


def test_the_digest_does_not_depend_on_the_version_of_python(tmp_path: Path) -> None:
    """Golden: features and checkpoints that exist would be made anew if this changed."""
    assert digest(tmp_path, SOURCE) == "2ab788f3d52a007e"


def test_what_is_kept_beside_a_file_is_of_its_text_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.setattr(sys, "pycache_prefix", None)
    path = tmp_path / "code.py"

    def digest_now(source: str) -> str:
        path.write_text(source, encoding="utf-8")
        source_digest.cache_clear()
        return source_digest(path)

    first = digest_now(SOURCE)
    (kept,) = (tmp_path / "__pycache__").iterdir()
    assert digest_now(SOURCE) == first
    assert digest_now(SOURCE.replace("0.5", "0.25")) != first
    assert digest_now(SOURCE) == first
    for damaged in ("", "[]", "{", kept.read_text(encoding="utf-8")[:-9]):
        kept.write_text(damaged, encoding="utf-8")
        assert digest_now(SOURCE) == first


@pytest.mark.parametrize("path", NAMED, ids=lambda path: path.name)
def test_in_each_file_that_names_results_a_comment_changes_nothing_and_a_number_does(
    path: Path, tmp_path: Path
) -> None:
    source = path.read_text(encoding="utf-8")
    assert digest(tmp_path, f"# why\n{source}\n# and why not\n") == digest(tmp_path, source)
    numbers = [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Constant) and type(node.value) in (int, float)
    ]
    for node in numbers[:5]:
        lines = source.splitlines()
        line = lines[node.lineno - 1].encode()
        lines[node.lineno - 1] = (line[: node.col_offset] + b"123457" + line[node.end_col_offset :]).decode()
        assert digest(tmp_path, "\n".join(lines)) != digest(tmp_path, source), node.lineno
    assert numbers or not re.search(r"= \d", source)
