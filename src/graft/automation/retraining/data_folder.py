"""Bring data/ to what data.dvc says, file by file, so that nothing a person put there is lost.

A file is replaced or removed only where an earlier commit of data.dvc had exactly these bytes in exactly this place:
then DVC's cache has it, and nobody has changed it since. Whatever else lies in data/ stays.
"""

import contextlib
import json
import os
import shutil
from pathlib import Path

from graft.core.errors import GraftError
from graft.core.files import md5_of
from graft.core.git import run_git, try_git
from graft.core.outside import path_below
from graft.core.project import Project
from graft.data.folder import swap
from graft.data.folder.dvc_cache import cache_folder, cached_object, files_named
from graft.data.folder.versioning import pointer_file, run_dvc, tracked_hash

# Data sets that data/ may still be at; one that is older is left as if a person had made it.
_VERSIONS = 50
_COPIES = "copies"


def bring_up_to_date(project: Project) -> list[str]:
    """Bring data/ to what data.dvc names. May be repeated, and cut off anywhere.

    Returns:
        Files in data/ that a person has changed or added, and that were left as they are.

    Raises:
        GraftError: DVC's cache lacks an image.
        OSError: the disk is full.
    """
    if tracked_hash(project) is None:
        return []
    if not project.data.exists():
        run_dvc(project, "checkout", "data.dvc")
        return []
    shutil.rmtree(project.data / f".graft-{_COPIES}", ignore_errors=True)  # of a run that was killed
    cache, text = cache_folder(project), pointer_file(project).read_text(encoding="utf-8")
    wanted = files_named(cache, text)
    if wanted is None:
        raise GraftError("DVC's cache lacks the list of images that data.dvc names", "Run `dvc fetch data.dvc`")
    if swap.is_empty(project.data):
        changes: dict[str, list[str]] | None = {"deleted": sorted(wanted)}
    else:
        changes = changes_in_data(project)
    if changes is None:
        raise GraftError("DVC's cache lacks images that data.dvc names", "Run `dvc fetch data.dvc`")
    earlier = _earlier_files(project, cache) if changes.get("modified") or changes.get("added") else set()
    absent = set(changes.get("deleted", []))
    stays, puts = [], sorted(absent)
    for name in (*changes.get("added", []), *changes.get("modified", [])):
        if (name, md5_of(project.data / name)) not in earlier:
            stays.append(name)
        elif name in wanted:
            puts.append(name)
        else:
            (project.data / name).unlink()
    folder = _folder_for_copies(project)
    for number, name in enumerate(puts):
        try:
            shutil.copyfile(cached_object(cache, text, wanted[name]), folder / str(number))
        except FileNotFoundError:
            raise GraftError(f"DVC's cache lacks data/{name}", "Run `dvc fetch data.dvc`") from None
    os.sync()  # once for all of them
    for number, name in enumerate(puts):
        target = path_below(project.data, name, "data.dvc")
        if name in absent and target.exists():  # somebody has put it there meanwhile
            stays.append(name)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        (folder / str(number)).replace(target)
    shutil.rmtree(folder, ignore_errors=True)
    return stays


def changes_in_data(project: Project) -> dict[str, list[str]] | None:
    """Return how data/ differs from data.dvc: lists of files ``added``, ``modified`` and ``deleted``, below data/.

    A data/ that is missing or empty counts as not checked out, and so as unchanged. Nothing is written.

    Returns:
        None where there is no data.dvc, or DVC's cache lacks the list of files that it names.
    """
    if swap.is_empty(project.data):
        return {}
    if not pointer_file(project).is_file():
        return None
    status = json.loads(run_dvc(project, "data", "status", "--granular", "--json") or "{}")
    if any(path.startswith("data/") for path in status.get("not_in_cache", [])):
        return None
    found = status.get("uncommitted", {})
    if any(path.startswith("data") for path in found.get("unknown", [])):
        return None
    renamed = found.get("renamed", [])
    paths = {
        "added": [*found.get("added", []), *(one["new"] for one in renamed)],
        "modified": found.get("modified", []),
        "deleted": [*found.get("deleted", []), *(one["old"] for one in renamed)],
    }
    return {
        kind: [path.removeprefix("data/") for path in some if path.startswith("data/") and path != "data/"]
        for kind, some in paths.items()
    }


def tracked_files(project: Project) -> dict[str, str] | None:
    """Return the MD5 of each file that data.dvc names, by path below data/; None where DVC's cache lacks the list."""
    return files_named(cache_folder(project), pointer_file(project).read_text(encoding="utf-8"))


def fresh_folder(project: Project, name: str) -> Path:
    """Return an empty folder of retraining's own: what a kill leaves in it is in nobody's way."""
    folder = project.retraining / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _folder_for_copies(project: Project) -> Path:
    """Return an empty folder on the disk of data/, so that what is copied there comes into data/ by a rename."""
    if _disk(project.data) == _disk(project.root):
        return fresh_folder(project, _COPIES)
    folder = project.data / f".graft-{_COPIES}"
    folder.mkdir()
    return folder


def _disk(folder: Path) -> int:
    return folder.stat().st_dev


def _earlier_files(project: Project, cache: Path) -> set[tuple[str, str]]:
    """Return name and MD5 of every file that earlier commits of data.dvc had in data/."""
    commits = run_git(project.root, "log", f"-{_VERSIONS}", "--format=%H", "--", "data.dvc").split()
    found: set[tuple[str, str]] = set()
    for text in {try_git(project.root, "show", f"{commit}:./data.dvc") or "" for commit in commits}:
        with contextlib.suppress(GraftError):  # a commit that names no MD5 names no files
            found.update((files_named(cache, text) or {}).items())
    return found
