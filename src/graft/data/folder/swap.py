"""Put a new data/ in the place of the old one, so that a kill at any moment leaves one of the two whole.

All of it happens in ``.graft/state/staging``, on the same file system as data/, where a rename is all or nothing::

    incoming/data     the new images, while they are written and checked
    import.json       what they are; it exists from the moment that the new images are complete
    previous          the old data/, from when it is moved aside until the new one is in its place

    1. write import.json   2. data -> previous   3. incoming/data -> data   4. drop previous   5. dvc add
    6. drop staging

:func:`finish_interrupted` completes or undoes what an interrupted command left: before step 3 the old data stays or
returns, after it the new data stays and the other steps are done again. Steps 4 and 6 are a single rename each too.
"""

import contextlib
import json
import shutil
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

from graft.core.errors import GraftError
from graft.core.files import write_file
from graft.core.lock import project_lock
from graft.core.project import Project
from graft.data.folder import versioning

# What systems and people leave in a folder that they would still call empty.
_NOTHING = frozenset({".DS_Store", ".gitkeep", ".gitignore", "Thumbs.db", "desktop.ini"})


def is_empty(folder: Path) -> bool:
    """Return whether a folder is missing or holds nothing of anybody's."""
    return not folder.is_dir() or all(entry.name in _NOTHING for entry in folder.iterdir())


def recover(project: Project) -> None:
    """Complete or undo an import that was interrupted, if one was.

    Raises:
        ProjectBusyError: another command is at work.
        GraftError: settling needs DVC, and DVC refuses.
    """
    if project.staging.exists():
        with project_lock(project):
            finish_interrupted(project)


@contextlib.contextmanager
def incoming(project: Project) -> Iterator[Path]:
    """Make a new, empty folder for the images to come, and drop it at the end if it was not put in place.

    Raises:
        GraftError: data/ is a link, or lies on another disk than the folder.
    """
    folder = _incoming(project)
    folder.mkdir(parents=True)
    try:
        _require_renamable(project, folder)
        yield folder
    finally:
        if not _journal(project).exists():  # else the images were complete, and the next command completes it
            _drop(project, project.staging)


def put_in_place(project: Project, meta: Mapping[str, str]) -> None:
    """Make the incoming folder data/, track it with DVC under ``meta``, and drop what was there before.

    Raises:
        GraftError: the folders cannot be renamed (the old data/ is then back in its place), or DVC refuses.
    """
    _write_journal(project, meta)
    try:
        _move_aside(project)
        _move_in(project)
    except BaseException as error:
        _restore(project)
        if _incoming(project).exists():
            _journal(project).unlink()
        if isinstance(error, OSError):
            raise GraftError(
                f"{project.data} cannot be replaced: {error.strerror}", "Close what uses it, and run it again"
            ) from None
        raise
    _drop(project, _previous(project))
    versioning.track(project, meta)
    _drop(project, project.staging)


def _incoming(project: Project) -> Path:
    # Called data, as errors about what is in it should name it.
    return project.staging / "incoming" / "data"


def _journal(project: Project) -> Path:
    return project.staging / "import.json"


def _previous(project: Project) -> Path:
    return project.staging / "previous"


def _write_journal(project: Project, meta: Mapping[str, str]) -> None:
    write_file(_journal(project), json.dumps(dict(meta)))


def _move_aside(project: Project) -> None:
    if project.data.exists():
        project.data.rename(_previous(project))


def _move_in(project: Project) -> None:
    _incoming(project).rename(project.data)


def _restore(project: Project) -> None:
    """Bring the old data/ back where it was moved aside and nothing has taken its place."""
    if _previous(project).exists() and is_empty(project.data):
        if project.data.exists():
            shutil.rmtree(project.data)
        _previous(project).rename(project.data)


def finish_interrupted(project: Project) -> None:
    """Complete or undo an interrupted import; to be called under the project's lock."""
    is_in_place = _journal(project).exists() and not _incoming(project).exists()
    if is_in_place and not is_empty(project.data):
        _drop(project, _previous(project))
        versioning.track(project, json.loads(_journal(project).read_text(encoding="utf-8")))
    else:
        _restore(project)
    _drop(project, project.staging)


def _drop(project: Project, folder: Path) -> None:
    """Remove a folder of those above; rename it first, since half of it would pass for another state."""
    if folder.exists():
        folder.rename(project.state / f"dropped-{uuid.uuid4().hex}")
    for dropped in project.state.glob("dropped-*"):
        shutil.rmtree(dropped, ignore_errors=True)


def _require_renamable(project: Project, folder: Path) -> None:
    if project.data.is_symlink() or (project.data.exists() and not project.data.is_dir()):
        raise GraftError(
            f"{project.data} is a link or a file", "Put a folder in its place: data/ is replaced as a whole"
        )
    beside = project.data if project.data.exists() else project.root
    if beside.stat().st_dev != folder.stat().st_dev:
        raise GraftError(
            f"{beside} and {project.state} lie on different disks: data/ cannot be replaced in one step",
            "Move one of them to the other's disk",
        )
