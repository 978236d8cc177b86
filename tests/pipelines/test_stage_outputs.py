"""What git sees of what stages write: all that is not DVC's to keep, and nothing else, whatever became of a run."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML


def outputs(stages: dict[str, Any]) -> list[tuple[str, bool]]:
    """Path of each output, with a name where the stage has a matrix, and whether DVC keeps it."""
    found = []
    for stage in stages.values():
        for kind in ("outs", "metrics", "plots"):
            for out in stage.get(kind, []):
                ((path, settings),) = out.items() if isinstance(out, dict) else [(out, {})]
                found.append((re.sub(r"\$\{[^}]*\}", "some_name", path), settings.get("cache", True)))
    return found


@pytest.fixture
def ignored(repository: Path, tmp_path: Path) -> Any:
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    (tmp_path / ".gitignore").write_text((repository / ".gitignore").read_text())

    def is_ignored(path: str) -> bool:
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
        return subprocess.run(["git", "check-ignore", "--quiet", path], cwd=tmp_path).returncode == 0

    return is_ignored


def test_git_is_told_of_what_dvc_does_not_keep_and_of_nothing_else(repository: Path, ignored: Any) -> None:
    stages = YAML(typ="safe").load((repository / "dvc.yaml").read_text())["stages"]
    found = outputs(stages)
    assert {kept for _, kept in found} == {True, False}
    for path, kept in found:
        inside = path if Path(path).suffix else f"{path}/some.json"
        assert ignored(inside) is kept, path


def test_what_dvc_writes_for_git_can_be_added_as_it_says(ignored: Any) -> None:
    for folder in ("validate", "train/some_name", "evaluate"):
        assert not ignored(f"artifacts/{folder}/.gitignore")
