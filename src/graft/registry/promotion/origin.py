"""Find out where a candidate comes from: whether its data passed the checks, and whether a commit holds its inputs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from graft.core.errors import GraftError
from graft.core.git import try_git
from graft.core.project import Project
from graft.core.wording import counted
from graft.data.checks.check_verdict import read_verdict
from graft.data.folder.versioning import run_dvc
from graft.data.splits.split_tables import read_split_table
from graft.registry.promotion.gate_rules import OriginFinding
from graft.registry.runs.strategy_runs import read_run
from graft.registry.store.provenance import MADE_BY_THE_PIPELINE, changed_files, head_commit

if TYPE_CHECKING:
    import pandas as pd

# Written by the gate itself, and so no change of what a candidate was made from.
GATE_FOLDER = "artifacts/gate"
_FILES_NAMED = 4


def state_of_data(project: Project, seen: pd.DataFrame | None) -> OriginFinding:
    """Find out whether stages validate and split passed, about the very images that the candidate has seen.

    Args:
        project: with the verdicts and the split tables.
    """
    outcomes = []
    passed = True
    for stage in ("validate", "split"):
        try:
            verdict = read_verdict(project.artifacts(stage) / "verdict.json")
        except GraftError as error:
            return OriginFinding(False, error.what, "Run the pipeline: graft run")
        passed &= verdict.passed
        warnings = f" with {counted(len(verdict.warnings), 'warning')}" if verdict.warnings else ""
        broken = f" ({', '.join(rule.name for rule in verdict.errors)})" if verdict.errors else ""
        outcomes.append(f"{stage} {'passed' if verdict.passed else 'did not pass'}{broken}{warnings}")
    observed = ", ".join(outcomes)
    if not passed:
        return OriginFinding(False, observed, "Mend the data, then: graft run")
    if seen is None:
        return OriginFinding(
            False,
            f"{observed}, but nothing tells which images the candidate was trained on",
            "Train it again with this version of graft, which keeps that record",
        )
    for split in ("train", "val"):
        now = set(read_split_table(project.split_table(split))["sha256"])
        then = set(seen.loc[seen["split"] == split, "sha256"])
        if now != then:
            return OriginFinding(
                False,
                f"{observed}, but about other images: {split} has {len(now)}, the candidate had {len(then)}, "
                f"{len(now & then)} of them the same",
                "Check out the commit that the candidate was made from and judge it there, or train it on the "
                "data as it is now: graft run",
            )
    return OriginFinding(True, observed, "")


def reproducibility(
    project: Project, tags: Mapping[str, str], run_id: str, folders: Mapping[str, Path], by: str | None = None
) -> OriginFinding:
    """Find out whether a commit holds what the candidate's run was made from: code, params, and the hash of data/.

    It does where the run was made from a clean commit. Where it was not (as under ``dvc exp run -S``), a later commit
    may hold it: then the files here are those of that commit, its dvc.lock says that DVC's stage would do nothing, and
    what the stage left here is this run.

    Args:
        folders: of strategies and ensembles by name, see :mod:`graft.core.model_folders`.
        by: the later commit; by default the one that is checked out.
    """
    commit, data, stage = tags.get("git.commit", ""), tags.get("dvc.data", ""), tags.get("dvc.stage", "")
    if not commit:
        return OriginFinding(
            False,
            "the run names no commit: it was made outside git",
            "Put the project under git, commit, and train again: dvc repro -f",
        )
    if not data:
        return OriginFinding(
            False,
            "the run names no hash of data/: DVC did not track it",
            "Put data/ under DVC (dvc add data), commit data.dvc, and train again: dvc repro -f",
        )
    if tags.get("git.dirty") == "no":
        return OriginFinding(True, f"made from commit {commit[:10]}, data {data[:10]}", "", commit)
    observed = f"made from commit {commit[:10]} with changes that were not committed"
    changed = changed_files(project, GATE_FOLDER, since=by or "HEAD")
    if changed is None:
        return OriginFinding(False, f"{observed}, and git does not say what they are", "See what `git status` says")
    if try_git(project.root, "cat-file", "-e", f"{by or 'HEAD'}:./dvc.lock") is None:
        changed.append("dvc.lock")
    if changed:
        # What a run is made from says more than what it left.
        changed.sort(key=lambda path: path.startswith(MADE_BY_THE_PIPELINE))
        more = f" and {len(changed) - _FILES_NAMED} more files" if len(changed) > _FILES_NAMED else ""
        return OriginFinding(
            False,
            observed,
            "If they are still as they were when it was trained, commit them and judge again: "
            f"{', '.join(changed[:_FILES_NAMED])}{more}",
        )
    mine = {name for name, folder in folders.items() if _run_in(folder) == run_id}
    again = "Train it again from what is committed: dvc repro -f"
    if not mine or not stage:
        return OriginFinding(False, f"{observed}, and artifacts/ holds another run", again)
    if json.loads(run_dvc(project, "status", "--json", stage) or "{}"):
        return OriginFinding(False, f"{observed}, and since then what DVC's stage {stage} depends on changed", again)
    now = by or head_commit(project) or ""
    return OriginFinding(True, f"{observed}; commit {now[:10]} holds them, with dvc.lock", "", now)


def _run_in(folder: Path) -> str:
    try:
        return str(read_run(folder)["run_id"])
    except FileNotFoundError:
        return ""
