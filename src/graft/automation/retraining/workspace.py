"""A git worktree of its own for each retraining, so that nothing of the user's changes while it runs.

::

    .dvc/tmp/exps/graft-retrain/<run>.<n>/   the worktree; :attr:`graft.core.project.Project.home` is the project itself
      .dvc/config.local                  names the project's DVC cache: data/ and outputs are links into it

Where the branch is the one checked out, the worktree begins as a snapshot of the user's folder: changes that were not
committed are part of it, images in data/ too. Else it begins at the tip of the branch, joined with what is checked out.
Whatever ends a run, its worktree is deleted, by the run itself or by the next one.
"""

from __future__ import annotations

import contextlib
import shutil
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from graft.automation.retraining.data_folder import changes_in_data, tracked_files
from graft.core.errors import GraftError
from graft.core.files import sha256_of
from graft.core.git import identity, repository_top, run_git, try_git, without_hooks
from graft.core.lock import ProjectBusyError, retraining_lock
from graft.core.progress import progress_bar
from graft.core.project import Project
from graft.data.folder.dvc_cache import cache_folder
from graft.data.folder.versioning import add, dvc_init, pointer_file, run_dvc

if TYPE_CHECKING:
    from graft.automation.retraining.checking import NewImage

CURRENT = "current"
_FOLDER = "graft-retrain"
# Copies are the last resort: links take no room. Files of the cache are read-only, so nothing writes through a link.
_LINKS = "reflink,hardlink,symlink,copy"


@dataclass(frozen=True)
class Workspace:
    """A worktree and where it came from.

    Attributes:
        project: the user's.
        own: the same project in the worktree.
        branch: that the result will be committed to.
        tip: commit of the branch when the worktree was made, ``""`` where the branch did not exist.
        base: commit that the worktree stands on.
        is_snapshot: the worktree holds the user's uncommitted changes too.
    """

    project: Project
    own: Project
    branch: str
    tip: str
    base: str
    is_snapshot: bool


def branch_name(project: Project, branch: str) -> str:
    """Return the branch that ``retrain.record.branch`` means.

    Raises:
        GraftError: it is the current one, and no branch is checked out; or git does not take the name.
    """
    if branch != CURRENT:
        run_git(project.root, "check-ref-format", "--branch", branch)
        return branch
    name = checked_out(project)
    if name is None and repository_top(project.root) is None:
        raise GraftError(
            f"{project.root} is not under git, so that a retraining could not record what it did",
            "Run `git init`, and commit the project",
        )
    if name is None:
        raise GraftError(
            f"No branch is checked out in {project.root}",
            "Check one out, or name one under retrain.record.branch in params.yaml",
        )
    return name


def checked_out(project: Project) -> str | None:
    """Return the branch that is checked out, or None."""
    return try_git(project.root, "symbolic-ref", "--quiet", "--short", "HEAD")


def work_folder(project: Project) -> Path:
    """Return the folder that worktrees are made in, one per run."""
    return project.root / ".dvc" / "tmp" / "exps" / _FOLDER


def open_workspace(
    project: Project, branch: str, run: str, without: Sequence[Path] = (), commit: str = ""
) -> Workspace:
    """Make a worktree; data/ and the outputs of the pipeline are not in it yet.

    Args:
        branch: see :func:`branch_name`.
        run: id of the run; the worktree's folder begins with it.
        without: folders of the user's that do not belong in a snapshot, such as the inbox.
        commit: stand on exactly this commit instead of on the branch and the user's changes.

    Raises:
        GraftError: git refuses; the project is not under git or DVC; or branch and user have both changed data.dvc.
    """
    if not (project.root / ".dvc").is_dir():
        raise GraftError(
            f"{project.root} has no folder .dvc", f"Run `{dvc_init(project.root)}` there once, and commit it"
        )
    prefix = run_git(project.root, "rev-parse", "--show-prefix")
    top = Path(run_git(project.root, "rev-parse", "--show-toplevel"))
    head = run_git(project.root, "rev-parse", "--verify", "HEAD")
    tip = try_git(project.root, "rev-parse", "--verify", "--quiet", f"refs/heads/{branch}") or ""
    # Another one each time: a folder that was deleted may still be in the hands of something that it started.
    folder = work_folder(project) / f"{run}.{uuid.uuid4().hex[:8]}"
    start = commit or tip or head
    run_git(project.root, "worktree", "add", "--quiet", "--detach", str(folder), start, environment=without_hooks())
    is_snapshot = not commit and checked_out(project) == branch
    if is_snapshot:
        _copy_changes(top, folder, [path.resolve() for path in (project.data, *without)])
    elif not commit and tip and try_git(folder, "merge-base", "--is-ancestor", head, tip) is None:
        start = _join(folder, tip, head, prefix, branch)
    own = Project(folder / prefix)
    _configure_dvc(project, own)
    return Workspace(project, own, branch, tip, start, is_snapshot)


def fill(space: Workspace) -> None:
    """Bring data/ and the outputs of the pipeline into the worktree, as links into DVC's cache.

    Raises:
        GraftError: DVC's cache lacks images, or the table of test images.
        OSError: the disk is full.
    """
    project, own = space.project, space.own
    changes = changes_in_data(project) if space.is_snapshot else {}
    if changes is None:  # the images here are all there is
        shutil.copytree(project.data, own.data, symlinks=True)
        if not pointer_file(own).is_file():
            add(own)
        run_dvc(own, "checkout", "--allow-missing", "dvc.yaml")
    else:
        run_dvc(own, "checkout", "--allow-missing", "data.dvc", "dvc.yaml")
        if missing := [name for name in tracked_files(own) or {} if not (own.data / name).exists()]:
            raise GraftError(
                f"DVC's cache lacks {len(missing)} images that data.dvc names, such as {missing[0]}",
                "Bring them with `dvc pull`",
            )
        for name in changes.get("deleted", []):
            (own.data / name).unlink(missing_ok=True)
        for name in (*changes.get("added", []), *changes.get("modified", [])):
            file = own.data / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.unlink(missing_ok=True)  # a link into the cache must not be written through
            shutil.copy2(project.data / name, file)
    table = own.split_table("test")
    if space.is_snapshot and project.split_table("test").is_file() and not table.is_file():
        raise GraftError(
            f"DVC's cache lacks {table.relative_to(own.root)}, which says what is tested on",
            "Run the pipeline with `graft run`, or bring it with `dvc pull`",
        )


def left_behind(project: Project) -> list[str]:
    """Return the ids of runs whose worktrees are still there."""
    folder = work_folder(project)
    return sorted({entry.name.split(".")[0] for entry in folder.iterdir()}) if folder.is_dir() else []


@contextlib.contextmanager
def alone(project: Project, patience: float, limit: float) -> Iterator[None]:
    """Keep other retrainings out for the length of the block.

    Args:
        patience: seconds to wait for another one to end.
        limit: seconds after which one that is at work should have ended.

    Raises:
        ProjectBusyError: another one is at work.
        GraftError: and it has been for longer than ``limit``, so that a person has to hear of it.
    """
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(retraining_lock(project, patience))
        except ProjectBusyError:
            made = [file.stat().st_mtime for file in work_folder(project).glob("*/.git")]
            seconds = time.time() - min(made, default=time.time())
            if seconds <= limit:
                raise
            raise GraftError(
                f"Another retraining of {project.root} has been at work for {seconds / 3600:.0f} hours",
                "See what it waits for, and end it: graft ui",
            ) from None
        yield


def remove_workspaces(project: Project, run: str = "") -> None:
    """Delete the worktrees of a retraining, or of all, and what git remembers of them.

    May be repeated and cut off anywhere.
    """
    for folder in work_folder(project).glob(f"{run}*"):
        shutil.rmtree(folder, ignore_errors=True)
    common = try_git(project.root, "rev-parse", "--path-format=absolute", "--git-common-dir")
    for entry in Path(common, "worktrees").glob("*") if common else ():
        # By hand: git leaves an entry alone that a kill cut off while it was made.
        try:
            place = Path((entry / "gitdir").read_text(encoding="utf-8").strip())
        except OSError:
            continue
        if place.parents[1].name == _FOLDER and not place.exists():
            shutil.rmtree(entry, ignore_errors=True)
    try_git(project.root, "worktree", "prune")  # one that a kill cut off while it was removed


def _copy_changes(top: Path, folder: Path, without: Sequence[Path]) -> None:
    """Copy what differs from the commit in the user's folder: changed, new and removed files."""
    changed = run_git(top, "diff", "--name-only", "--no-renames", "-z", "HEAD")
    new = run_git(top, "ls-files", "--others", "--exclude-standard", "-z")
    for name in _names(changed + "\0" + new):
        source, target = top / name, folder / name
        if any(source.is_relative_to(path) for path in without) or source.is_dir():
            continue
        target.unlink(missing_ok=True)
        if source.is_symlink() or source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)


def _join(folder: Path, tip: str, head: str, prefix: str, branch: str) -> str:
    """Merge what is checked out into the branch's state; what the pipeline wrote is the branch's."""
    base = run_git(folder, "merge-base", tip, head)
    pointer = f"{prefix}data.dvc"
    versions = {try_git(folder, "rev-parse", f"{commit}:{pointer}") for commit in (base, tip, head)}
    advice = f"Merge it into {branch} by hand"
    if len(versions) == 3:
        raise GraftError(f"{branch} and what is checked out have both changed {pointer}", advice)
    try:
        run_git(folder, "merge", "--no-commit", "--no-ff", "-X", "ours", head, environment=identity(folder))
    except GraftError as error:
        raise GraftError(f"What is checked out cannot be merged into {branch}: {error.what}", advice) from None
    for path in (f"{prefix}dvc.lock", f"{prefix}artifacts"):
        if try_git(folder, "rev-parse", "--verify", "--quiet", f"{tip}:{path}"):
            run_git(folder, "checkout", tip, "--", path, environment=without_hooks())
    tree = run_git(folder, "write-tree")
    commit = commit_tree(folder, tree, [tip, head], f"Take over what was committed since into {branch}")
    run_git(folder, "update-ref", "--no-deref", "HEAD", commit)
    run_git(folder, "merge", "--quit")
    return commit


def commit_tree(folder: Path, tree: str, parents: Sequence[str], message: str) -> str:
    """Make a commit of a tree, without hooks; return it. An account that git knows no name of is called graft."""
    arguments = [part for parent in parents for part in ("-p", parent)]
    return run_git(folder, "commit-tree", tree, *arguments, text=message, environment=identity(folder))


def _configure_dvc(project: Project, own: Project) -> None:
    """Configure DVC in the worktree to use the project's cache and remotes, and a site cache of the worktree's own."""
    from dvc.config import Config

    folder, user_s = own.root / ".dvc", project.root / ".dvc"
    if (user_s / "config.local").is_file():
        shutil.copyfile(user_s / "config.local", folder / "config.local")
    config = Config(str(user_s))
    with Config(str(folder)).edit("local", validate=False) as local:
        local["cache"] = {"dir": str(cache_folder(project)), "type": _LINKS}
        local["core"] = {**local.get("core", {}), "site_cache_dir": str(folder / "tmp" / "site")}
        remotes = local.setdefault("remote", {})
        for name, remote in config["remote"].items():
            if Path(remote["url"]).is_absolute():  # .dvc/config may name it by the way from there
                remotes.setdefault(name, {})["url"] = remote["url"]


def _names(text: str) -> Iterator[str]:
    return (name for name in dict.fromkeys(text.split("\0")) if name)


def grow(own: Project, images: Sequence[NewImage]) -> None:
    """Add images to data/ of a worktree; `dvc repro` takes them into data.dvc.

    Raises:
        GraftError: an image is in the way, or it is not what was checked.
        OSError: the disk is full.
    """
    with progress_bar("New images", len(images)) as advance:
        for image in images:
            place = own.data / image.target
            if place.exists():
                raise GraftError(f"data/{image.target} is there already", "Run it again: data/ has changed meanwhile")
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(image.file, place)
            if sha256_of(place) != image.sha256:
                raise GraftError(f"{image.file} reads with other bytes than before", "Run it again; check that disk")
            advance(1)
