"""Make a project: an empty folder becomes a git and DVC repository with the files that a run needs.

::

    <folder>/params.yaml, dvc.yaml, pipelines/ ...   see :mod:`graft.automation.projects.generated_files`
    <folder>/graft.version                           what its stages depend on in the place of graft's code
    <folder>/.graft-generated/<path>.base            each of these as it was written, for the next upgrade
"""

import contextlib
import importlib.util
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from graft.automation.projects.generated_files import generated_files
from graft.core.errors import GraftError
from graft.core.files import write_file
from graft.core.git import identity, repository_top, run_git, without_hooks
from graft.core.outside import own_path
from graft.core.project import Project
from graft.core.wording import some
from graft.data.folder.versioning import run_dvc

BASES = ".graft-generated"
_SUFFIX = ".base"  # else DVC would take the copy of dvc.yaml for another pipeline
# What systems leave behind, and the repository that somebody has made or cloned already.
_NOTHING = frozenset({".git", ".DS_Store", "Thumbs.db", "desktop.ini"})
# Paths become addresses of databases and names in archives, in which these mean something else.
_ODD = frozenset("?\\")
REMOTE = "storage"  # its name in .dvc/config
_DVC_CONFIG = "[core]\n    analytics = false\n    check_update = false\n"


def init_project(folder: Path, remote: str = "", endpoint: str = "") -> Project:
    """Make a project of a new or empty folder, with a first commit. Where that fails, nothing stays behind.

    Args:
        remote: where `dvc push` puts data and results, ``s3://BUCKET/PATH`` or what else DVC takes; "" for none.
        endpoint: address of an S3 server other than Amazon's.

    Raises:
        GraftError: the folder holds something, lies in another git repository, or its path has characters that
            libraries do not take; git is missing; git or DVC refuses.
        OSError: the folder cannot be written.
    """
    folder = own_path(folder).absolute()
    if remote:
        _require_remote(remote)
    _require_usable(folder)
    project = Project(folder.resolve())
    with _all_or_nothing(project.root):
        files = generated_files(project.root.name)
        for path, text in files.items():
            write_file(project.root / path, text)
        write_bases(project, files)
        is_cloned = (project.root / ".git").exists()
        run_git(project.root, *(("rev-parse", "--git-dir") if is_cloned else ("init", "--quiet")))
        run_dvc(project, "init")  # whose reason --quiet would hide
        write_file(project.root / ".dvc" / "config", _DVC_CONFIG)
        if remote:
            run_dvc(project, "remote", "add", "--default", REMOTE, remote)
        if endpoint:
            run_dvc(project, "remote", "modify", REMOTE, "endpointurl", endpoint)
        run_git(project.root, "add", "--all")
        run_git(project.root, "add", "--force", "--", *files)  # also what the account's own list of ignored files names
        message = "A project of graft: params, pipeline and flows as they are generated"
        commit = ("-c", "commit.gpgsign=false", "commit", "--quiet", "--message", message)
        run_git(project.root, *commit, environment={**without_hooks(), **identity(project.root)})
    return project


def holds_nothing(folder: Path) -> bool:
    """Return whether a folder is missing, or holds nothing but what systems leave behind and an empty repository."""
    return not folder.exists() or (folder.is_dir() and not _entries(folder))


def write_bases(project: Project, files: Mapping[str, str]) -> None:
    """Store files as they are generated, in the place of those of the last time."""
    folder = project.root / BASES
    for path in set(read_bases(project)) - set(files):
        (folder / f"{path}{_SUFFIX}").unlink()
    for path, text in files.items():
        write_file(folder / f"{path}{_SUFFIX}", text)


def read_bases(project: Project) -> dict[str, str]:
    """Return the files of the project as they were generated last: text by path."""
    folder = project.root / BASES
    found = sorted(path for path in folder.rglob(f"*{_SUFFIX}") if path.is_file())
    return {
        path.relative_to(folder).as_posix().removesuffix(_SUFFIX): path.read_text(encoding="utf-8") for path in found
    }


def _require_usable(folder: Path) -> None:
    if shutil.which("git") is None:
        raise GraftError("git is not installed, and a project is a git repository", "Install git: git-scm.com")
    odd = sorted({letter for letter in str(folder) if letter in _ODD or not letter.isprintable()})
    if odd := odd + ["${"] * ("${" in str(folder)):  # DVC fills it in as a parameter
        names = " and ".join(repr(letter) for letter in odd)
        raise GraftError(
            f"The path {str(folder)!r} has {names} in it, which databases, addresses or DVC take for something else",
            "Choose another name or place",
        )
    if folder.exists() and not folder.is_dir():
        raise GraftError(f"{folder} is a file", "Name a folder that is new or empty")
    entries = _entries(folder) if folder.is_dir() else []
    if {"params.yaml", "dvc.yaml"} <= set(entries):
        raise GraftError(f"{folder} is a project already", "Change into it; `graft upgrade` renews its files")
    if entries:
        raise GraftError(
            f"{folder} is not empty: it holds {some(entries, 1)}",
            "Name a folder that is new or empty; `graft data import` brings photographs into it then",
        )
    above = next(place for place in (folder, *folder.parents) if place.is_dir())
    top = repository_top(above)
    if top is not None and top.resolve() != folder.resolve():
        raise GraftError(
            f"{folder} lies in another git repository, {top}",
            "Choose a place outside it: a project is a repository of its own",
        )


def _require_remote(remote: str) -> None:
    """Raise GraftError for a remote that `dvc push` could not use, or one that would put a password into git."""
    parts = urlsplit(remote)
    is_s3 = parts.scheme == "s3"
    if parts.password or (is_s3 and parts.username):
        raise GraftError(
            f"{remote} has a password in it, and .dvc/config is committed to git",
            "Leave it out: DVC reads AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or ~/.aws/credentials",
        )
    if is_s3 and not parts.netloc:
        raise GraftError(f"{remote} names no bucket", "Name one: s3://BUCKET/PATH")
    if is_s3 and importlib.util.find_spec("dvc_s3") is None:
        raise GraftError("DVC cannot use s3:// here: dvc-s3 is not installed", "pip install 'graft[team]'")


def _entries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name not in _NOTHING)


@contextlib.contextmanager
def _all_or_nothing(folder: Path) -> Iterator[None]:
    """Remove what the block has made in a folder that held nothing, where it fails."""
    was_there = folder.is_dir()
    before = {path.name for path in folder.iterdir()} if was_there else set()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        for path in folder.iterdir():
            if path.name not in before:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        if not was_there:
            folder.rmdir()
        raise
