"""Reasons to train, and not to: what DVC sees changed, and what the pipeline's own checks refused."""

from __future__ import annotations

from typing import Any

from graft.core.project import Project
from graft.data.checks.check_verdict import read_verdict


def what_changed(status: dict[str, Any]) -> str:
    """From `dvc status --json`, in words, without what follows from it."""
    paths: set[str] = set()
    for changes in status.values():
        for change in changes:
            if isinstance(change, dict):
                paths |= {path for kind in ("changed deps", "changed outs") for path in change.get(kind, {})}
    kinds = {"data": "data/", "params.yaml": "params.yaml"}
    found = {kinds.get(path, "outputs" if path.startswith("artifacts") else "code") for path in paths}
    if len(found) > 1:
        found.discard("outputs")  # they follow from the others
    return " and ".join(sorted(found)) or "the pipeline"


def broken_rules(project: Project, since: float) -> list[str]:
    """What stages validate and split refused after a moment, a sentence each.

    Args:
        since: seconds since the epoch; older verdicts are of other runs.
    """
    found = []
    for stage in ("validate", "split"):
        file = project.artifacts(stage) / "verdict.json"
        if file.is_file() and file.stat().st_mtime >= since:
            errors = read_verdict(file).errors
            found += [f"{rule.name}: {rule.observed} (needed: {rule.limit})." for rule in errors]
    return found
