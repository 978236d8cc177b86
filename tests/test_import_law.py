"""The rooms of src/graft and the one direction of imports between them."""

import ast
from collections.abc import Iterator
from pathlib import Path

GRAFT = Path(__file__).parents[1] / "src" / "graft"
# A room imports rooms above its line alone; those of one line do not import each other.
FLOORS = (
    ("core", "bundle"),
    ("data", "networks"),
    ("analysis", "evaluation"),
    ("training",),
    ("registry",),
    ("deployment",),
    ("automation",),
    ("cli", "api"),
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}


def imports() -> Iterator[tuple[str, str, str]]:
    """Every import within graft: path of the file, its room, and the room that it imports."""
    for path in sorted(GRAFT.rglob("*.py")):
        relative = path.relative_to(GRAFT)
        room = relative.parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = [name.name for name in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                up = relative.parts[: len(relative.parts) - node.level] if node.level else ("graft",)
                if node.level:
                    modules = [".".join(("graft", *up, node.module or ""))]
                elif node.module == "graft":
                    modules = [f"graft.{name.name}" for name in node.names]
                else:
                    modules = [node.module or ""]
            for module in modules:
                if module.startswith("graft."):
                    yield relative.as_posix(), room, module.split(".")[1]


def test_imports_go_one_way() -> None:
    wrong = [
        (path, to)
        for path, room, to in imports()
        if to not in (room, "__version__") and room != "__init__" and FLOOR[to] >= FLOOR[room]
    ]
    assert wrong == []


def test_the_bundle_imports_nothing_of_graft() -> None:
    """It travels with every model, to where graft is not installed."""
    assert [(path, to) for path, room, to in imports() if room == "bundle" and to != "bundle"] == []


def test_no_other_names_stand_under_graft() -> None:
    found = {path.name.removesuffix(".py") for path in GRAFT.iterdir() if path.name != "__pycache__"}
    assert found - {"__init__"} <= set(FLOOR)


def test_no_two_packages_import_each_other_in_a_circle() -> None:
    """Imports that run when a module is imported form no circle between folders, within a room either."""
    edges: dict[str, set[str]] = {}
    for path in sorted(GRAFT.rglob("*.py")):
        folder = path.parent.relative_to(GRAFT).as_posix()
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("graft."):
                parts = (node.module or "").split(".")[1:]
                target = next(
                    (
                        "/".join(parts[:end])
                        for end in range(len(parts), 0, -1)
                        if (GRAFT / "/".join(parts[:end])).is_dir()
                    ),
                    "",
                )
                # A folder and one below it are one place.
                if target and not f"{target}/".startswith(f"{folder}/") and not f"{folder}/".startswith(f"{target}/"):
                    edges.setdefault(folder, set()).add(target)
    assert circles(edges) == []


def circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """Folders that reach themselves, each with the first way back that is found."""
    found = []
    for start in edges:
        todo, before = [start], {start: ""}
        while todo:
            here = todo.pop()
            for to in edges.get(here, ()):
                if to == start:
                    way = [here]
                    while before[way[-1]]:
                        way.append(before[way[-1]])
                    found.append([*reversed(way), start])
                    todo.clear()
                    break
                if to not in before:
                    before[to] = here
                    todo.append(to)
    return found


def test_no_file_is_longer_than_a_person_reads_at_once() -> None:
    lengths = {
        path.relative_to(GRAFT).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for path in GRAFT.rglob("*.py")
    }
    assert {path: length for path, length in lengths.items() if length > 350} == {}
