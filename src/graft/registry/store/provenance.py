"""Find out what a run was made from: git commit, DVC stage and experiment, and the hashes of data and splits."""

import os

from graft.core.dvc_lock import outputs_of
from graft.core.git import try_git
from graft.core.project import Project
from graft.data.folder.versioning import tracked_hash

# What a run itself changes, and so says nothing about what it was made from: DVC writes the lock after each stage.
MADE_BY_THE_PIPELINE = ("dvc.lock", "artifacts")
# Tags that come from variables: DVC's own, and the retraining that a stage is part of.
_FROM_ENVIRONMENT = {"DVC_STAGE": "dvc.stage", "DVC_EXP_NAME": "dvc.experiment", "GRAFT_RETRAINING": "retraining"}
# What a run is made from; a file among these that git does not know yet is a difference too.
INPUTS = ("src", "pipelines", "params.yaml", "dvc.yaml", "data.dvc")


def provenance_tags(project: Project) -> dict[str, str]:
    """Return the tags of provenance for an MLflow run; a fact that is not known has no tag.

    ``dvc.<stage>.<file>`` carries the hash of each output that dvc.lock knows from the stages before training.
    """
    tags = git_tags(project)
    for variable, tag in _FROM_ENVIRONMENT.items():
        if value := os.environ.get(variable):
            tags[tag] = value
    if data := tracked_hash(project):
        tags["dvc.data"] = data
    outputs = outputs_of(project)
    for stage in ("validate", "split"):
        for out in outputs.get(stage, []):
            tags[f"dvc.{stage}.{out['path'].rsplit('/', 1)[-1]}"] = str(out.get("md5", ""))
    return tags


def git_tags(project: Project) -> dict[str, str]:
    """Return tags of the commit that is checked out, and of whether the pipeline's inputs differ from it; empty outside
    git.
    """
    commit = head_commit(project)
    if commit is None:
        return {}
    changed = changed_files(project, *MADE_BY_THE_PIPELINE)
    return {"git.commit": commit} | ({} if changed is None else {"git.dirty": "yes" if changed else "no"})


def head_commit(project: Project) -> str | None:
    """Return the commit that is checked out, 40 hex digits, or None outside git."""
    return try_git(project.root, "rev-parse", "HEAD")


def changed_files(project: Project, *except_for: str, since: str = "HEAD") -> list[str] | None:
    """Return files of the project that differ from a commit, and new files among ``INPUTS``; None where git fails.

    Args:
        except_for: paths in it, files or folders, that may differ.
    """
    without = [f":(exclude){path}" for path in except_for]
    changed = try_git(project.root, "diff", since, "--name-only", "--no-renames", "-z", "--", ".", *without)
    new = try_git(project.root, "ls-files", "--others", "--exclude-standard", "-z", "--", *INPUTS)
    return None if changed is None or new is None else [path for path in (changed + new).split("\0") if path]
