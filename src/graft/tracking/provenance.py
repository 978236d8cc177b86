"""What a run was made from: git commit, DVC stage and experiment, and the hashes of data and splits."""

from __future__ import annotations

import os
import subprocess
from typing import Any

from ruamel.yaml import YAML

from graft.project import Project


def provenance_tags(project: Project) -> dict[str, str]:
    """Tags for an MLflow run; a fact that is not known has no tag.

    ``dvc.<stage>.<file>`` carries the hash of each output that dvc.lock knows from the stages before training.
    """
    tags = git_tags(project)
    for variable, tag in (("DVC_STAGE", "dvc.stage"), ("DVC_EXP_NAME", "dvc.experiment")):
        if value := os.environ.get(variable):
            tags[tag] = value
    if data := data_hash(project):
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


def data_hash(project: Project) -> str | None:
    """DVC's hash of ``data/`` as data.dvc records it, for example ``0a1b...dir``; None where there is none."""
    outs = _read_yaml(project.root / "data.dvc").get("outs", [])
    return str(outs[0]["md5"]) if outs and "md5" in outs[0] else None


def _read_yaml(path: Any) -> dict[str, Any]:
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
