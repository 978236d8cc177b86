"""What is written beside its place and renamed goes through core/files, which has it on the disk first."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Files that rename by themselves, and why no synced file of core/files is meant.
OTHERS = {
    "src/graft/core/files.py": "the one place",
    "src/graft/data/folder/swap.py": "moves whole folders; what it writes down goes through core/files",
    "src/graft/core/download/fetch.py": "the partial file stays for the next try; it is synced before the rename",
    "src/graft/core/download/registries.py": "a client left the file; it is synced before the rename",
    "src/graft/deployment/monitor/log_file.py": "sets a damaged file aside",
    "src/graft/registry/resolve.py": "a cache whose files are compared with their hash at each use",
    "src/graft/automation/retraining/data_changes.py": "moves what is there",
    "src/graft/automation/retraining/data_folder.py": "copies of what DVC's cache holds",
    "src/graft/automation/retraining/deliveries.py": "moves what is there",
    "src/graft/automation/retraining/landing.py": "moves what is there",
    "src/graft/automation/retraining/quarantine.py": "moves what is there",
}


def renames(source: str) -> list[int]:
    """Lines that rename a file: ``x.rename(y)``, ``x.replace(y)``, ``os.replace(x, y)``. Text takes two arguments."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        of_os = isinstance(node.func.value, ast.Name) and node.func.value.id in ("os", "shutil")
        arguments = len(node.args) == (2 if of_os else 1) and not node.keywords
        if node.func.attr in ("rename", "replace", "move") and arguments:
            found.append(node.lineno)
    return found


def test_b14_files_are_put_in_place_by_core_files_alone() -> None:
    found = {
        path.relative_to(ROOT).as_posix()
        for folder in ("src/graft", "pipelines")
        for path in (ROOT / folder).rglob("*.py")
        if renames(path.read_text(encoding="utf-8"))
    }
    assert found == set(OTHERS)


def test_b14_what_is_a_rename() -> None:
    lines = ["a.rename(b)", "a.replace(b)", "os.replace(a, b)", "shutil.move(a, b)"]
    others = ["t.replace('x', 'y')", "d.replace(year=1)", "replace(a)"]
    assert renames("\n".join(lines + others)) == [1, 2, 3, 4]
