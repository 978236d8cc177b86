"""The inbox: which deliveries lie in it, and where they go once data/ has their images.

::

    inbox/
      week-12/rock/0001.jpg       a delivery: a folder of class folders
      week-13.zip                 another one: an archive of class folders
      rock/0002.jpg               class folders of their own, together one more
      week-14.zip.part            not yet: it is still being written
      done/2026-11-25T030012-week-11/    taken in before

A file leaves the inbox only where the SHA-256 of its bytes is known to be in data/ or in the quarantine.
"""

import contextlib
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from graft.core.errors import GraftError
from graft.core.files import replaced_file, sha256_of
from graft.core.outside import own_path
from graft.core.progress import console
from graft.core.project import Project
from graft.data.folder.photographs import is_image_file, is_leftover

DONE = "done"
LOOSE = "loose"  # what class folders that lie in the inbox itself are called together
PATIENCE_SECONDS = 60.0  # somebody may look on
TIME = "%Y-%m-%dT%H%M%S"  # a delivery's place in done/ and in the quarantine begins with it
_UNFINISHED = (".part", ".partial", ".tmp", ".crdownload", ".filepart")


@dataclass(frozen=True)
class Delivery:
    """The files of the inbox that arrived together.

    Attributes:
        name: what it is called in messages.
        paths: what it consists of in the inbox: one folder or archive, or several class folders.
    """

    name: str
    paths: tuple[Path, ...]


class Inbox(NamedTuple):
    """The content of an inbox: complete deliveries by name, names of what is still arriving, and what is left alone.

    The last as printable names, each with the reason.
    """

    deliveries: list[Delivery]
    arriving: list[str]
    left: dict[str, str]


def inbox_folder(project: Project, inbox: str) -> Path:
    """Return the inbox; it is made where it is missing.

    Raises:
        GraftError: it lies inside data/, or data/ inside it.
    """
    folder = (project.root / own_path(inbox)).resolve()
    data = project.data.resolve()
    if folder == data or folder.is_relative_to(data) or data.is_relative_to(folder):
        raise GraftError(
            f"retrain.source.inbox is {folder}, and data/ lies in it or it in data/",
            "Name a folder beside data/ in params.yaml",
        )
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def find_deliveries(inbox: Path, settle_seconds: float) -> Inbox:
    """Return what lies in the inbox.

    Args:
        inbox: see :func:`inbox_folder`.
        settle_seconds: how long nothing in a delivery may have changed for it to count as complete.
    """
    found = Inbox([], [], {})
    loose = []
    newest_allowed = time.time() - settle_seconds
    for entry in _entries(inbox):
        if why := _unfit(entry):
            found.left[_printable(entry.name)] = why
        elif _is_unfinished(entry) or _last_change(entry) > newest_allowed:
            found.arriving.append(entry.name)
        elif why := _not_allowed(entry):
            found.left[entry.name] = why
        elif entry.is_dir() and any(child.is_file() and is_image_file(child) for child in entry.iterdir()):
            loose.append(entry)
        else:
            found.deliveries.append(Delivery(entry.name, (entry,)))
    if loose:
        found.deliveries.append(Delivery(LOOSE, tuple(loose)))
    return found


def wait_until_settled(inbox: Path, settle_seconds: float, wait: Callable[[float], None] = time.sleep) -> None:
    """Wait until what has just been copied into the inbox counts as complete; a long copy is not waited for."""
    changes = {entry.name: _last_change(entry) for entry in _entries(inbox) if not _is_unfinished(entry)}
    left = max(changes.values(), default=0.0) + settle_seconds - time.time()
    if 0 < left <= min(settle_seconds, PATIENCE_SECONDS):
        newest = max(changes, key=lambda name: changes[name])
        console.print(f"Waiting {left:.0f} s for {_printable(newest)} to be complete", soft_wrap=True, markup=False)
        wait(left)


def put_away(delivery: Delivery, inbox: Path, at: datetime, is_proved: Callable[[str], bool]) -> list[str]:
    """Move the files of a delivery to ``done/`` of the inbox that are known to be somewhere else too.

    May be repeated and cut off anywhere.

    Args:
        is_proved: whether bytes with this SHA-256 are in data/ or in the quarantine.

    Returns:
        Paths, below the inbox, of files that stay.
    """
    target = inbox / DONE / stamped(delivery.name, at)
    stay = []
    for path in delivery.paths:
        place = target if len(delivery.paths) == 1 else target / path.name
        for file in _files(path):
            if _would_nobody_miss(file.relative_to(inbox)) or is_proved(sha256_of(file)):
                move_file(file, place / file.relative_to(path) if file != path else place)
            else:
                stay.append(file.relative_to(inbox).as_posix())
        for folder, _, _ in os.walk(path, topdown=False):
            with contextlib.suppress(OSError):  # something has stayed in it, or come into it
                Path(folder).rmdir()
    return stay


def put_away_before(inbox: Path, days: float) -> list[Path]:
    """Return the deliveries that were put away more than so many days ago."""
    limit = time.time() - days * 86400
    old = []
    for entry in sorted((inbox / DONE).glob("*")):
        with contextlib.suppress(ValueError):  # not graft's
            if datetime.strptime(entry.name[:17], TIME).replace(tzinfo=UTC).timestamp() < limit:
                old.append(entry)
    return old


def remove_old(inbox: Path, days: float) -> list[str]:
    """Remove deliveries that were put away more than so many days ago; return their names."""
    old = put_away_before(inbox, days)
    for entry in old:
        shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    return [entry.name for entry in old]


def stamped(name: str, at: datetime) -> str:
    """Return the name of a delivery's place in done/ or in the quarantine."""
    return f"{at.strftime(TIME)}-{name}"


def move_file(file: Path, target: Path) -> None:
    """Move a file, also to another file system."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        file.rename(target)
    except OSError:
        with replaced_file(target) as partial:
            shutil.copyfile(file, partial)
        file.unlink()


def _entries(inbox: Path) -> list[Path]:
    """Return what may be a delivery, by name."""
    return [
        entry
        for entry in sorted(inbox.iterdir())
        if not is_leftover(entry.name) and not (entry.name == DONE and entry.is_dir())
    ]


def _unfit(entry: Path) -> str:
    """Return why an entry of the inbox can be no delivery, ``""`` where it can."""
    if entry.is_symlink():
        return "It is a symbolic link: put the folder or archive itself into the inbox."
    try:
        entry.name.encode()
    except UnicodeEncodeError:
        return "Its name is not written in UTF-8: rename it."
    return ""


def _not_allowed(entry: Path) -> str:
    """Return why graft may not read an entry of the inbox or move it away, ``""`` where it may do both."""
    for path in (entry.parent, *_everything(entry)):
        if path.is_symlink():
            continue
        wanted = os.R_OK | os.W_OK | os.X_OK if path.is_dir() else os.R_OK
        if not os.access(path, wanted) or (path != entry.parent and _is_pinned(path)):
            return "graft may not read it and move it away: give its account the right to do both."
    return ""


def _is_pinned(path: Path) -> bool:
    """Return whether its folder lets accounts move their own files alone, as /tmp does, and this is another's."""
    folder, me = path.parent.stat(), os.geteuid()
    return bool(folder.st_mode & stat.S_ISVTX) and me not in (0, folder.st_uid, path.lstat().st_uid)


def _printable(name: str) -> str:
    return os.fsencode(name).decode(errors="replace")


def _is_unfinished(entry: Path) -> bool:
    return entry.name.lower().endswith(_UNFINISHED)


def _would_nobody_miss(file: Path) -> bool:
    """Return whether a system has left the file behind; hidden files may be a person's."""
    return any(is_leftover(part.removeprefix(".")) or part.startswith("._") for part in file.parts)


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path] if path.exists() else []
    return sorted(
        Path(folder, name) for folder, _, names in os.walk(path) for name in names if Path(folder, name).is_file()
    )


def _last_change(path: Path) -> float:
    """Return when anything in a file or folder last changed, in seconds since 1970: content, name or place."""
    return max((_changed(one) for one in _everything(path)), default=0.0)


def _everything(path: Path) -> Iterator[Path]:
    yield path
    if path.is_dir() and not path.is_symlink():
        for folder, folders, files in os.walk(path):
            for name in (*folders, *files):
                yield Path(folder, name)


def _changed(path: Path) -> float:
    # The time of the status, not of the content: copying keeps the latter, and an old photograph arrives new.
    try:
        return path.lstat().st_ctime
    except OSError:
        return time.time()  # it went away while we looked: something is at work there
