"""A stage of dvc.yaml depends on all code that can change its results: the closure of its imports says which."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
STAGES: dict[str, Any] = {
    name: stage
    for name, stage in YAML(typ="safe").load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"].items()
    if "-m pipelines." in stage["cmd"]
}
# What no result follows from, as paths of files and folders; what these import is not looked at either. A training
# takes hours and is repeated whenever a file it depends on changes, so that each line here is worth something.
EXEMPT = {
    "pipelines/__init__.py": "starts a process",
    "src/graft/core": "files, locks, messages: the same bytes are written and read, or an error is raised",
    "src/graft/__init__.py": "offers names to notebooks",
    "src/graft/automation": "starts servers and processes",
    "src/graft/registry/store": "where records go; a training is not repeated for its record",
    "src/graft/registry/runs": "records in MLflow what was made",
    "src/graft/registry/report": "describes to people what was made",
}
# Of what is exempt, what decides results after all: the defaults of the settings.
DECIDES = ("src/graft/core/params",)


def file_of(module: str) -> Path | None:
    """The file of a module of the project, None for any other name."""
    parts = module.split(".")
    if parts[0] not in ("graft", "pipelines"):
        return None
    base = (ROOT / "src" if parts[0] == "graft" else ROOT).joinpath(*parts)
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)


def imported(source: str, package: str = "") -> Iterator[str]:
    """Names of what a module imports wherever it stands, but for what only type checkers see."""
    found: list[ast.AST] = [ast.parse(source)]
    while found:
        node = found.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            found += node.orelse
            continue
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            whole = ".".join([*above, *filter(None, [node.module])])
            yield whole
            yield from (f"{whole}.{name.name}" for name in node.names)
        found += ast.iter_child_nodes(node)


def is_empty(path: Path) -> bool:
    """Whether a file holds nothing but comments, docstrings and the package's version."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    version = ast.parse("__version__ = ''").body[0].targets[0]  # type: ignore[attr-defined]
    return all(
        (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        or (isinstance(node, ast.Assign) and ast.dump(node.targets[0]) == ast.dump(version))
        for node in body
    )


def is_in(path: str, places: Any) -> bool:
    return any(path == place or path.startswith(f"{place}/") for place in places)


def closure(module: str, without: Any) -> dict[str, str]:
    """The files that a module imports, itself included, by path, each with one that imports it."""
    found: dict[str, str] = {}
    todo = [(module, "")]
    while todo:
        name, by = todo.pop()
        path = file_of(name)
        if path is None:
            continue
        key = path.relative_to(ROOT).as_posix()
        if key in found or (is_in(key, without) and not is_in(key, DECIDES)):
            continue
        found[key] = by
        parents = [".".join(name.split(".")[:end]) for end in range(1, name.count(".") + 1)]
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        todo += [(other, key) for other in (*parents, *imported(path.read_text(encoding="utf-8"), package))]
    return {key: by for key, by in found.items() if not is_empty(ROOT / key)}


def code_of(stage: str) -> list[str]:
    """The dependencies of a stage that are code."""
    paths = [path for path in STAGES[stage]["deps"] if isinstance(path, str)]
    return [path for path in paths if path.startswith(("src/", "pipelines/"))]


@pytest.mark.parametrize("stage", STAGES)
def test_c14_a_stage_depends_on_all_code_that_it_imports(stage: str) -> None:
    needed = closure(STAGES[stage]["cmd"].split()[2], EXEMPT)
    missing = {path: by for path, by in needed.items() if not is_in(path, code_of(stage))}
    assert not missing, f"add to the deps of {stage} in dvc.yaml, or to EXEMPT with a reason"


@pytest.mark.parametrize("stage", STAGES)
def test_c14_a_stage_depends_on_no_code_that_it_does_not_use(stage: str) -> None:
    needed = closure(STAGES[stage]["cmd"].split()[2], {})
    for place in code_of(stage):
        assert (ROOT / place).exists(), place
        assert any(is_in(path, [place]) for path in needed), place


def test_c14_what_is_exempt_is_there() -> None:
    for path in (*EXEMPT, *DECIDES):
        assert (ROOT / path).exists(), path


def test_c14_lazy_imports_count_and_those_of_type_checkers_do_not() -> None:
    source = """
if TYPE_CHECKING:
    import graft.no
else:
    import graft.yes
def f():
    from graft.lazy import one
    try:
        import graft.tried
    except ImportError:
        pass
    from . import beside
    from .near import it
    from ..above import that
"""
    absolute = {"graft.yes", "graft.lazy", "graft.lazy.one", "graft.tried"}
    relative = {
        "graft.a.b",
        "graft.a.b.beside",
        "graft.a.b.near",
        "graft.a.b.near.it",
        "graft.a.above",
        "graft.a.above.that",
    }
    assert set(imported(source, "graft.a.b")) == absolute | relative
