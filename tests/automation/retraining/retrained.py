"""What a retraining left, and how a person changes a project meanwhile."""

import sys
from pathlib import Path
from typing import Any

from quick import champions
from small_project import pictures_in, shell

from graft.automation.retraining.outcome import read_open
from graft.automation.retraining.retraining import Retraining
from graft.automation.retraining.workspace import left_behind
from graft.core.project import Project

NEW = {"red": 3, "blue": 2}


def set_params(project: Project, **changes: str) -> None:
    """Change lines of params.yaml by the name of their key, and commit that."""
    text = project.params_file.read_text(encoding="utf-8")
    for key, value in changes.items():
        old = [line for line in text.splitlines() if line.strip().startswith(f"{key}:")]
        assert len(old) == 1, old
        text = text.replace(old[0], f"{old[0][: old[0].index(key)]}{key}: {value}")
    project.params_file.write_text(text, encoding="utf-8")
    shell(project.root, "git", "commit", "-qam", "Other params")


def commits(project: Project) -> int:
    return int(shell(project.root, "git", "rev-list", "--count", "HEAD"))


def dvc_status(project: Project) -> str:
    return shell(project.root, sys.executable, "-m", "dvc", "status", "--json")


def is_clean(project: Project, images: int) -> None:
    """What must hold after every run, whatever had happened before it."""
    assert len(pictures_in(project)) == images
    assert shell(project.root, "git", "status", "--short") == ""
    assert not read_open(project)
    assert left_behind(project) == []
    assert not list((project.root / ".git/worktrees").glob("*"))
    assert not (project.root / ".git/index.lock").exists()
    assert [line for line in champions(project).read_text().splitlines() if line] == ["0", str(images)]


def state_of(project: Project) -> dict[str, Any]:
    """All that a failed run must leave as it was."""
    files = ("data.dvc", "dvc.lock", "artifacts/train/model.txt", "artifacts/train/metrics.json")
    return {
        "pictures": pictures_in(project),
        **{name: (project.root / name).read_text() for name in files},
        "commit": shell(project.root, "git", "rev-parse", "HEAD"),
        "changes": shell(project.root, "git", "status", "--short"),
        "champions": champions(project).read_text(),
    }


def verdicts(outcome: Any) -> dict[str, str]:
    return {one.name: one.verdict for one in outcome.deliveries}


def files_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def while_training(action: Any) -> Any:
    """A change of a retraining: does something of a person's right before the pipeline runs."""

    def change(retraining: Retraining) -> None:
        really = retraining.train

        def train() -> None:
            action()
            really()

        retraining.train = train  # type: ignore[method-assign]

    return change
