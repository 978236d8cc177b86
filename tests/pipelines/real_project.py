"""A real project in a folder of its own: this checkout's code, a slice of the default photographs, few epochs."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml import YAML

from graft.core.project import Project

CHECKOUT = Path(__file__).resolve().parents[2]
PER_CLASS = {"train": 24, "test": 9}  # of each class; yellow has 35 and 9 in all


@dataclass
class RealProject:
    """A project on disk, and commands run in it as a user would."""

    project: Project
    environment: dict[str, str]

    @property
    def root(self) -> Path:
        return self.project.root

    def run(self, *command: str, timeout: float = 600) -> subprocess.CompletedProcess[str]:
        """Runs a command with this environment's Python first on the path."""
        return subprocess.run(
            command, cwd=self.root, env=self.environment, capture_output=True, text=True, timeout=timeout
        )

    def graft(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run("graft", *arguments)

    def dvc(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run("dvc", *arguments)

    def change_params(self, change: Callable[[dict], None]) -> None:
        """Edits params.yaml in place."""
        yaml = YAML()
        params = yaml.load(self.project.params_file)
        change(params)
        yaml.dump(params, self.project.params_file)


def make_project(root: Path, cache: Path) -> RealProject:
    """A git and DVC project with this checkout's code and no data."""
    names = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    for name in names:
        if name.startswith((".dvc", "src/", "pipelines/")) or name in (
            "dvc.yaml",
            "params.yaml",
            "pyproject.toml",
            ".gitignore",
            ".dvcignore",
        ):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(CHECKOUT / name, root / name)
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "PREFECT_", "MLFLOW_"))
    }
    environment |= {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(root / "src"),
        "GRAFT_CACHE": str(cache),
        "GIT_AUTHOR_NAME": "test",
        "GIT_AUTHOR_EMAIL": "test@example.org",
        "GIT_COMMITTER_NAME": "test",
        "GIT_COMMITTER_EMAIL": "test@example.org",
        "COLUMNS": "120",
    }
    real = RealProject(Project(root), environment)
    real.run("git", "init", "--quiet")
    real.change_params(_shorten)
    real.run("git", "add", "--all")
    assert real.run("git", "commit", "--quiet", "--message", "start").returncode == 0
    return real


def _shorten(params: dict) -> None:
    params["validate"]["min_images_per_class"] = 5
    params["choose"] |= {"quality": "fast", "sizes": [96]}
    params["train"]["validation"] = "split"
    for name, strategy in params["train"]["strategies"].items():
        if name != "frozen":  # its head is solved
            strategy["epochs"] = 2
            strategy["batch_size"] = 16
    params["train"]["strategies"]["scratch"]["filters"] = [8, 16]
