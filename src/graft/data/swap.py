"""Putting a new data/ in the place of the old one, so that a kill at any moment leaves one of the two whole.

All of it happens in ``.graft/state/staging``, on the same file system as data/, where a rename is all or nothing::

    incoming/data     the new images, while they are written and checked
    import.json       what they are; it exists from the moment that the new images are complete
    previous          the old data/, from when it is moved aside until the new one is in its place

    1. write import.json   2. data -> previous   3. incoming/data -> data   4. drop previous   5. dvc add
    6. drop staging

:func:`exclusive` settles what an interrupted command left: before step 3 the old data stays or returns, after
it the new data stays and the other steps are done again. Steps 4 and 6 are a single rename each too. Step 4 comes
before DVC: a file with a second hard link, as growth makes them, looks to DVC like one that is linked into its cache,
and DVC would put a copy in its place, for all of data/ at once.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

from graft.data import versioning
from graft.errors import GraftError
from graft.project import Project

# What systems and people leave in a folder that they would still call empty.
_NOTHING = frozenset({".DS_Store", ".gitkeep", ".gitignore", "Thumbs.db", "desktop.ini"})


def is_empty(folder: Path) -> bool:
    """Whether a folder is missing or holds nothing of anybody's."""
    return not folder.is_dir() or all(entry.name in _NOTHING for entry in folder.iterdir())


@contextlib.contextmanager
def exclusive(project: Project) -> Iterator[None]:
    """Keeps other imports out for the length of the block, and first settles what an interrupted one left.

    Raises:
        GraftError: another import is at work, or settling needs DVC and DVC refuses.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(project.state / "data.lock", timeout=0)
    try:
        project.state.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise GraftError(
            f"Another command is bringing data into {project.root}", "Wait until it has ended"
        ) from None
    except OSError as error:
        raise GraftError(f"{project.state} cannot be written: {error.strerror}", "Make it writable") from None
    try:
        _settle(project)
        yield
    finally:
        lock.release()


def recover(project: Project) -> None:
    """Settles what an interrupted import left, if one did. Raises as :func:`exclusive` does."""
    if _staging(project).exists():
        with exclusive(project):
            pass


@contextlib.contextmanager
def incoming(project: Project) -> Iterator[Path]:
    """A new, empty folder for the images to come; whatever is not put in place by the end of it is dropped.

    Raises:
        GraftError: data/ is a link, or lies on another disk than the folder.
    """
    folder = _incoming(project)
    folder.mkdir(parents=True)
    try:
        _require_renamable(project, folder)
        yield folder
    finally:
        if not _journal(project).exists():  # else the images were complete, and the next command settles it
            _drop(project, _staging(project))


def put_in_place(project: Project, meta: Mapping[str, str]) -> None:
    """Makes the incoming folder data/, tracks it with DVC under ``meta``, and drops what was there before.

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
    _drop(project, _staging(project))


def _staging(project: Project) -> Path:
    return project.staging


def _incoming(project: Project) -> Path:
    # Called data, as errors about what is in it should name it.
    return _staging(project) / "incoming" / "data"


def _journal(project: Project) -> Path:
    return _staging(project) / "import.json"


def _previous(project: Project) -> Path:
    return _staging(project) / "previous"


def _write_journal(project: Project, meta: Mapping[str, str]) -> None:
    new = _journal(project).with_suffix(".new")
    new.write_text(json.dumps(dict(meta)), encoding="utf-8")
    new.replace(_journal(project))


def _move_aside(project: Project) -> None:
    if project.data.exists():
        project.data.rename(_previous(project))


def _move_in(project: Project) -> None:
    _incoming(project).rename(project.data)


def _restore(project: Project) -> None:
    """Brings the old data/ back where it was moved aside and nothing has taken its place."""
    if _previous(project).exists() and is_empty(project.data):
        if project.data.exists():
            shutil.rmtree(project.data)
        _previous(project).rename(project.data)


def _settle(project: Project) -> None:
    _restore(project)
    is_in_place = _journal(project).exists() and not _incoming(project).exists()
    if is_in_place and not is_empty(project.data):
        _drop(project, _previous(project))
        versioning.track(project, json.loads(_journal(project).read_text(encoding="utf-8")))
    _drop(project, _staging(project))


def _drop(project: Project, folder: Path) -> None:
    """Removes a folder of those above; renamed first, since half of it would tell another story."""
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
