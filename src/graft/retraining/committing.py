"""A git commit of what a retraining changed, on any branch, which touches neither the working tree nor other changes.

The tree is put together in an index of its own and becomes a commit on the branch by one move of the reference: a
kill leaves the branch before or after it. The commit names its run, so that a run that was cut off right behind it is
known to have been recorded.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from graft.errors import GraftError, first_line
from graft.project import Project

TRAILER = "Graft-Run"
CURRENT = "current"
# Of a server's account that git knows no name of.
_NOBODY = {"NAME": "graft", "EMAIL": "graft@localhost"}


def branch_name(project: Project, branch: str) -> str:
    """The branch that is meant.

    Raises:
        GraftError: it is the current one, and no branch is checked out; or git does not take the name.
    """
    if branch != CURRENT:
        _git(project, "check-ref-format", "--branch", branch)
        return branch
    name = _try(project, "symbolic-ref", "--quiet", "--short", "HEAD")
    if name is None:
        raise GraftError(
            f"No branch is checked out in {project.root}",
            "Check one out, or name one under retrain.record.branch in params.yaml",
        )
    return name


def commit_files(project: Project, branch: str, paths: Sequence[Path], message: str, run: str) -> str:
    """Commits files as they are now, on top of what is checked out and of the branch; returns the commit.

    Args:
        project: with its repository.
        branch: from :func:`branch_name`; it is made where it is missing.
        paths: of files in the project, relative to it; those that are gone are removed from the tree.
        message: of the commit.
        run: id of the run.

    Raises:
        GraftError: git refuses; the message gives its reason.
    """
    head = _git(project, "rev-parse", "--verify", "HEAD")
    tip = _try(project, "rev-parse", "--verify", "--quiet", f"refs/heads/{branch}")
    with tempfile.TemporaryDirectory(prefix="graft-index-") as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder, "index"))}
        _git(project, "read-tree", head, environment=index)
        names = "\0".join(path.as_posix() for path in paths)
        _git(project, "update-index", "--add", "--remove", "-z", "--stdin", input=names, environment=index)
        tree = _git(project, "write-tree", environment=index)
    parents = [tip or head]
    if tip and tip != head and _try(project, "merge-base", "--is-ancestor", head, tip) is None:
        parents.append(head)  # the branch takes over what was committed elsewhere since
    if tip and _git(project, "rev-parse", f"{tip}^{{tree}}") == tree and len(parents) == 1:
        return tip  # as it was
    arguments = [part for parent in parents for part in ("-p", parent)]
    text = f"{message.rstrip()}\n\n{TRAILER}: {run}\n"
    commit = _git(project, "commit-tree", tree, *arguments, input=text, environment=_identity(project))
    _git(project, "update-ref", "-m", "graft retrain", f"refs/heads/{branch}", commit, tip or "0" * 40)
    settle_index(project, branch, paths)
    return commit


def settle_index(project: Project, branch: str, paths: Sequence[Path]) -> None:
    """Where the branch is checked out, makes git's own index agree about the files that were committed."""
    if _try(project, "symbolic-ref", "--quiet", "--short", "HEAD") == branch and paths:
        names = "\0".join(path.as_posix() for path in paths)
        _git(project, "reset", "--quiet", "--pathspec-from-file=-", "--pathspec-file-nul", input=names)


def commit_of(project: Project, branch: str, run: str) -> str:
    """The commit at the tip of the branch where it is that of the run, else ``""``."""
    name = "HEAD" if branch == CURRENT else f"refs/heads/{branch}"
    trailer = _try(project, "log", "-1", f"--format=%(trailers:key={TRAILER},valueonly)", name)
    return _git(project, "rev-parse", name) if trailer == run else ""


def push(project: Project, remote: str, branch: str, timeout: float) -> None:
    """Pushes the branch. Raises GraftError where git refuses, or it takes longer than ``timeout`` seconds."""
    _git(project, "push", "--quiet", remote, f"refs/heads/{branch}:refs/heads/{branch}", timeout=timeout)


def remove_stale_lock(project: Project, since: float) -> bool:
    """Removes the lock of git's index where a git that is gone has left it after ``since``; says whether it did."""
    import psutil

    folder = _try(project, "rev-parse", "--absolute-git-dir")
    lock = Path(folder or project.root / ".git") / "index.lock"
    try:
        if lock.stat().st_mtime < since:
            return False  # not of that run
    except OSError:
        return False
    root = str(project.root.resolve())
    for process in psutil.process_iter(["name", "cwd"]):
        name, where = process.info["name"] or "", process.info["cwd"] or ""
        if name.startswith("git") and where.startswith(root):
            return False
    lock.unlink(missing_ok=True)
    return True


def _identity(project: Project) -> dict[str, str]:
    if _try(project, "var", "GIT_COMMITTER_IDENT") is not None:
        return {}
    return {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in _NOBODY.items()}


def _try(project: Project, *arguments: str) -> str | None:
    try:
        return _git(project, *arguments)
    except GraftError:
        return None


def _git(
    project: Project,
    *arguments: str,
    input: str | None = None,
    timeout: float = 120,
    environment: Mapping[str, str] | None = None,
) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=project.root,
            env={**os.environ, "GIT_TERMINAL_PROMPT": "0", **(environment or {})},
            input=input,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
    except subprocess.TimeoutExpired:
        raise GraftError(f"`git {arguments[0]}` took longer than {timeout:.0f} s", "Run it by hand") from None
    except OSError as error:
        raise GraftError(f"git cannot be run: {error}", "Install git") from None
    if done.returncode:
        reason = first_line(Exception(done.stderr)) or f"exit code {done.returncode}"
        raise GraftError(f"`git {arguments[0]}` failed in {project.root}: {reason}", "Do what git says")
    return done.stdout.strip()
