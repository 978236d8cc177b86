"""Land a retraining's commit: from the worktree to the branch, and to the user's folder.

1. :func:`commit_changes` makes a commit in the worktree; no branch moves.
2. :func:`move_branch` moves the branch to it in one step, and only from where it was: compare and set.
3. :func:`check_out` brings the user's folder to it, where the branch is checked out. A file that a person has changed
   since the run began stays as it is.

Step 2 decides whether the retraining happened. Step 3 may be repeated and cut off anywhere.
"""

import os
from collections.abc import Sequence

from graft.automation.retraining.data_changes import WITHDRAWN_FILE
from graft.automation.retraining.data_folder import bring_up_to_date, fresh_folder
from graft.automation.retraining.outcome import OpenCommit
from graft.automation.retraining.workspace import Workspace, checked_out, commit_tree
from graft.core.errors import GraftError
from graft.core.files import sync
from graft.core.git import remove_abandoned_lock, run_git, try_git
from graft.core.project import Project
from graft.core.wording import some
from graft.data.folder.dvc_cache import outputs_not_cached, require_images_cached
from graft.data.folder.versioning import run_dvc

_NONE = "0" * 40
_NAMED = 4


def recorded_files(own: Project) -> list[str]:
    """Return the files that a retraining commits, by path in the project: DVC's own, and small outputs below git."""
    command = ("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", "artifacts", WITHDRAWN_FILE)
    small = [name for name in run_git(own.root, *command).split("\0") if name]
    return ["data.dvc", "dvc.lock", "params.yaml", *(name for name in small if not name.startswith("artifacts/gate/"))]


def hashes_in_worktree(space: Workspace) -> dict[str, str]:
    """Return git's hash of each file that a retraining commits, as the worktree has it now; by path in the project."""
    files = [name for name in recorded_files(space.own) if (space.own.root / name).is_file()]
    return dict(zip(files, _hashes(space.own, files), strict=True))


def commit_changes(space: Workspace, message: str) -> tuple[str, str]:
    """Commit what the pipeline changed in the worktree; return the parent and the commit, which is the parent where
    nothing changed.

    Where the branch has moved on since the worktree was made, the commit goes on top of it.

    Raises:
        GraftError: DVC's cache lacks what the commit would name; the branch has moved on and changed the same files;
            or git refuses.
    """
    own = space.own.root
    _require_cached(space.own)
    names = recorded_files(space.own)
    parent = space.base
    now = try_git(own, "rev-parse", "--verify", "--quiet", f"refs/heads/{space.branch}") or ""
    if now != space.tip:
        changed = run_git(own, "diff", "--name-only", "--relative", "-z", space.tip, now).split("\0") if now else names
        both = sorted({*changed} & {*names})
        if both or space.base != space.tip:
            raise GraftError(
                f"{space.branch} was changed while the retraining was at work ({', '.join(both[:_NAMED]) or now[:10]})",
                "Nothing was recorded and the deliveries wait: the next run begins from there",
            )
        run_git(own, "reset", "--quiet", now)
        parent = now
    listed = "\0".join(names)
    run_git(own, "update-index", "--add", "--remove", "-z", "--stdin", text=listed)
    tree = run_git(own, "write-tree")
    if tree == run_git(own, "rev-parse", f"{parent}^{{tree}}"):
        return parent, parent
    return parent, commit_tree(own, tree, [parent], message)


def _require_cached(own: Project) -> None:
    """Pass where DVC's cache has all that the worktree's data.dvc and dvc.lock name, since the worktree goes.

    Raises:
        GraftError: something did not get into the cache, which DVC takes for success.
    """
    require_images_cached(own)
    in_git = recorded_files(own)
    missing = [
        path
        for path in outputs_not_cached(own)
        if not any(name == path or name.startswith(f"{path}/") for name in in_git)
    ]
    if missing:
        raise GraftError(
            f"DVC could not put {some(missing, _NAMED)} into its cache",
            "Make room there, and see that it can be written; nothing was recorded and the deliveries wait",
        )


def changed_by(own: Project, parent: str, commit: str) -> list[str]:
    """Return the files that differ between two commits, by path in the project."""
    names = run_git(own.root, "diff", "--name-only", "--relative", "--no-renames", "-z", parent, commit)
    return [name for name in names.split("\0") if name]


def require_same_data(project: Project, before: dict[str, str]) -> None:
    """Raise where a person has brought other data in since the run began.

    Raises:
        GraftError: data.dvc in the user's folder is another one now.
    """
    (now,) = _hashes(project, ["data.dvc"])
    if now != before.get("data.dvc", now):
        raise GraftError(
            "data.dvc was changed while the retraining was at work",
            "Nothing was recorded and the deliveries wait: the next run begins from there",
        )


def move_branch(project: Project, branch: str, commit: str, tip: str) -> None:
    """Move the branch to a commit, where it still is at ``tip`` (``""``: where it does not exist)."""
    run_git(project.root, "update-ref", "-m", "graft retrain", f"refs/heads/{branch}", commit, tip or _NONE)


def is_recorded(project: Project, one: OpenCommit) -> bool:
    """Return whether the branch holds the commit."""
    return try_git(project.root, "merge-base", "--is-ancestor", one.commit, f"refs/heads/{one.branch}") is not None


def check_out(project: Project, one: OpenCommit) -> list[str]:
    """Bring the user's folder to a commit where its branch is checked out; return what was left alone, in sentences.

    Raises:
        GraftError: DVC's cache lacks an image, or git refuses.
        OSError: the disk is full.
    """
    if checked_out(project) != one.branch:
        return []
    edited = _write_files(project, one)
    left = [f"{some(edited, _NAMED)}: changed since and left as they are" for _ in edited[:1]]
    if "data.dvc" not in edited and (stays := bring_up_to_date(project)):
        left.append(f"{some([f'data/{name}' for name in stays], _NAMED)}: not in data.dvc and left as they are")
    if "dvc.lock" not in edited:
        try:
            run_dvc(project, "checkout", "--allow-missing", "dvc.yaml")
        except GraftError as error:  # DVC overwrites nothing that it has no copy of
            left.append(f"Outputs of the pipeline were left as they are: {error}")
    try:
        if one.before:  # without names git would take back all that is staged
            _bring_index_up_to_date(project, list(one.before))
    except GraftError as error:
        left.append(f"git's index is not up to date: {error}")
    os.sync()
    return left


def _bring_index_up_to_date(project: Project, names: Sequence[str]) -> None:
    command = ("reset", "--quiet", "--pathspec-from-file=-", "--pathspec-file-nul")
    try:
        run_git(project.root, *command, text="\0".join(names))
    except GraftError:
        if not remove_abandoned_lock(project.root):
            raise
        run_git(project.root, *command, text="\0".join(names))


def _write_files(project: Project, one: OpenCommit) -> list[str]:
    """Write the files that a commit changes; return those that a person has changed, and that stay."""
    root, names = project.root, list(one.before)
    listed = run_git(root, "ls-tree", "-r", "-z", one.commit, "--", *names).split("\0")
    wanted = {line.partition("\t")[2]: line.split()[2] for line in listed if line}
    prefix = run_git(root, "rev-parse", "--show-prefix")
    folder = fresh_folder(project, "checkout")
    index = {"GIT_INDEX_FILE": str(folder / "index")}
    run_git(root, "read-tree", one.commit, environment=index)
    command = ("checkout-index", "-z", "--stdin", f"--prefix={folder}/files/")
    run_git(root, *command, text="\0".join(wanted), environment=index)
    edited = []
    for name, now in zip(names, _hashes(project, names), strict=True):
        if now == wanted.get(name, ""):
            continue
        if now != one.before[name]:
            edited.append(name)
        elif name in wanted:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            sync(folder / "files" / prefix / name)
            (folder / "files" / prefix / name).replace(root / name)
        else:
            (root / name).unlink(missing_ok=True)
    return edited


def _hashes(project: Project, names: Sequence[str]) -> list[str]:
    """Return git's hash of files as they are now, ``""`` for one that is not there."""
    there = [name for name in names if (project.root / name).is_file()]
    lines = "".join(f"{project.root / name}\n" for name in there)  # git would begin at the top of the repository
    found = run_git(project.root, "hash-object", "--stdin-paths", text=lines).split() if there else []
    by_name = dict(zip(there, found, strict=True))
    return [by_name.get(name, "") for name in names]
