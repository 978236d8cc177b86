"""Projects that a benchmark works in: a copy of this one without what was computed, commands, settings, commits."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

from graft.core.project import Project

RUN = "from graft.cli.main import main; main()"
IDENTITY = ("-c", "user.name=bench", "-c", "user.email=bench@localhost")


def fresh_copy(home: Project, target: Path) -> Path:
    """Copy the project's tracked files as they are now to a repository of their own: DVC and provenance ask for one."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=home.root, check=True, capture_output=True, text=True)
    for name in filter(None, listed.stdout.split("\0")):
        source = home.root / name
        if source.is_file() and not name.startswith("artifacts/") and name != "dvc.lock":
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target / name)
    subprocess.run(["git", "init", "-q"], cwd=target, check=True, capture_output=True)
    commit(target, "A fresh copy")
    return target


def commit(root: Path, words: str) -> None:
    """Commit all that git does not ignore."""
    for command in (("add", "-A"), (*IDENTITY, "commit", "-q", "-m", words)):
        subprocess.run(["git", *command], cwd=root, check=True, capture_output=True)


def change_params(project: Project, changes: dict[str, Any]) -> None:
    """Set dotted keys in params.yaml, comments kept."""
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.width = 10_000
    document = yaml.load(project.params_file.read_text(encoding="utf-8"))
    for key, value in changes.items():
        *sections, last = key.split(".")
        place = document
        for section in sections:
            place = place[section]
        place[last] = YAML(typ="safe").load(value) if isinstance(value, str) else value
    with project.params_file.open("w", encoding="utf-8") as file:
        yaml.dump(document, file)
