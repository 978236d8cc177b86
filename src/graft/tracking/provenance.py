"""What a run was made from: git commit, DVC stage and experiment, and the hashes of data and splits."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from graft.data.versioning import tracked_hash
from graft.project import Project


def provenance_tags(project: Project) -> dict[str, str]:
    """Tags for an MLflow run; a fact that is not known has no tag.

    ``dvc.<stage>.<file>`` carries the hash of each output that dvc.lock knows from the stages before training.
    """
    tags = git_tags(project)
    for variable, tag in (("DVC_STAGE", "dvc.stage"), ("DVC_EXP_NAME", "dvc.experiment")):
        if value := os.environ.get(variable):
            tags[tag] = value
    if data := tracked_hash(project):
        tags["dvc.data"] = data
    stages = _read_yaml(project.root / "dvc.lock").get("stages", {})
    for stage in ("validate", "split"):
        for out in stages.get(stage, {}).get("outs", []):
            tags[f"dvc.{stage}.{out['path'].rsplit('/', 1)[-1]}"] = str(out.get("md5", ""))
    return tags


def git_tags(project: Project) -> dict[str, str]:
    """The commit that is checked out, and whether files under git differ from it; empty outside git."""
    commit = _git(project, "rev-parse", "HEAD")
    if not commit:
        return {}
    changed = _git(project, "status", "--porcelain", "--untracked-files=no")
    return {"git.commit": commit, "git.dirty": "yes" if changed else "no"}


def _read_yaml(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    content = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    return content if isinstance(content, dict) else {}


def _git(project: Project, *arguments: str) -> str:
    try:
        result = subprocess.run(
            ["git", *arguments], cwd=project.root, capture_output=True, text=True, check=True, timeout=30
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return result.stdout.strip()
