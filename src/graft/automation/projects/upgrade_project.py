"""Bring a project's generated files to the graft that is installed, without losing what the user changed.

Each file is merged three ways with `git merge-file`: as it was generated, as it is, as it would be generated now. What
was generated is stored in the project, see :mod:`graft.automation.projects.init_project`.
"""

import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from graft import __version__
from graft.automation.projects.generated_files import generated_files
from graft.automation.projects.init_project import read_bases, write_bases
from graft.automation.projects.project_version import VERSION_FILE, project_version
from graft.core.errors import GraftError
from graft.core.files import write_file
from graft.core.lock import project_lock
from graft.core.project import Project

Change = Literal["new", "renewed", "merged", "conflict", "removed", "left deleted", "left, no longer generated"]
_MARKER = "<<<<<<< "
_YOURS = "yours"


@dataclass(frozen=True)
class FileChange:
    """The change that an upgrade makes to one file.

    Attributes:
        path: in the project.
        change: in a word or three; ``conflict``: both changed the same lines, which are marked in the file.
        text: what the file holds then; None for no file, or where it stays as it is.
    """

    path: str
    change: Change
    text: str | None


@dataclass(frozen=True)
class Upgrade:
    """The changes of an upgrade, and the versions from and to which it goes; files that stay are not named."""

    before: str
    after: str
    changes: list[FileChange]

    @property
    def conflicts(self) -> list[str]:
        """Paths of the files in which lines are marked."""
        return [one.path for one in self.changes if one.change == "conflict"]


def upgrade_project(project: Project, dry_run: bool = False) -> Upgrade:
    """Merge what graft generates now into the project; nothing is committed. May be repeated, also when it was cut off.

    Args:
        dry_run: only find out.

    Raises:
        GraftError: the project is a checkout of graft, a file has marks of an earlier conflict, or git cannot merge.
        ProjectBusyError: another command is at work in it.
    """
    with project_lock(project):
        before = project_version(project)
        if before is None:
            raise GraftError(
                f"{project.root} has no {VERSION_FILE}: it is a checkout of graft, or its own pipeline",
                "A checkout is brought up to date with `git pull`",
            )
        generated, bases = generated_files(project.root.name), read_bases(project)
        changes = _changes(project, bases, generated)
        if not dry_run:
            for one in changes:
                if one.text is not None:
                    write_file(project.root / one.path, one.text)
                elif one.change == "removed":
                    (project.root / one.path).unlink()
            # Last: until then a repetition finds what it needs to merge again.
            write_bases(project, generated)
            write_file(project.root / VERSION_FILE, generated[VERSION_FILE])
    return Upgrade(before, __version__, changes)


def _changes(project: Project, bases: Mapping[str, str], generated: Mapping[str, str]) -> list[FileChange]:
    found = []
    for path in sorted((bases.keys() | generated.keys()) - {VERSION_FILE}):
        file = project.root / path
        mine = file.read_text(encoding="utf-8") if file.is_file() else None
        if mine is not None and any(line.startswith(_MARKER) for line in mine.splitlines()):
            raise GraftError(
                f"{path} has lines that begin with {_MARKER.strip()}, of an earlier conflict",
                "Choose between the marked lines first",
            )
        if change := _change(path, bases.get(path), mine, generated.get(path)):
            found.append(change)
    return found


def _change(path: str, base: str | None, mine: str | None, new: str | None) -> FileChange | None:
    """Return what becomes of a file: as it was generated, as it is, as it would be generated; None where nothing."""
    if mine == new or base == new:
        return None
    if mine is None:
        return FileChange(path, "new", new) if base is None else FileChange(path, "left deleted", None)
    if new is None:
        return FileChange(path, "removed" if mine == base else "left, no longer generated", None)
    if mine == base:
        return FileChange(path, "renewed", new)
    merged, conflicts = _merged(mine, base or "", new)
    return FileChange(path, "conflict" if conflicts else "merged", merged)


def _merged(mine: str, base: str, new: str) -> tuple[str, bool]:
    """Return the merge of two changes to a text, and whether lines in it are marked as a conflict."""
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for name, text in (("mine", mine), ("base", base), ("new", new)):
            files.append(Path(folder, name))
            files[-1].write_text(text, encoding="utf-8")
        labels = [part for label in (_YOURS, "generated before", f"graft {__version__}") for part in ("-L", label)]
        try:
            done = subprocess.run(
                ["git", "merge-file", "--stdout", *labels, *map(str, files)], capture_output=True, text=True
            )
        except OSError as error:
            raise GraftError(f"git cannot be run: {error.strerror}", "Install git") from None
    # The number of conflicts, up to 127; beyond, an error.
    if done.returncode > 127 or done.returncode < 0:
        raise GraftError(f"`git merge-file` failed: {done.stderr.strip()[:200]}", "Do what git says")
    return done.stdout, done.returncode > 0
