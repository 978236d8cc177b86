"""The inbox: which deliveries lie in it, and what becomes of them when a run has dealt with them.

::

    inbox/
      week-12/rock/0001.jpg       a delivery: a folder of class folders
      week-13.zip                 another one: an archive of class folders
      rock/0002.jpg               class folders of their own, together one more
      week-14.zip.part            not yet: it is still being written
      done/2026-11-25T030012-week-11/    taken in before

What is moved is moved by renaming where inbox and quarantine lie on one file system, so that a kill leaves a delivery
in one place, whole.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from graft.data.readers.folders import is_image
from graft.errors import GraftError
from graft.progress import console
from graft.project import Project

DONE = "done"
LOOSE = "loose"  # what class folders that lie in the inbox itself are called together
REASONS_FILE = "reasons.json"
PATIENCE_SECONDS = 60.0  # somebody may look on
_UNFINISHED = (".part", ".partial", ".tmp", ".crdownload", ".filepart")
_TIME = "%Y-%m-%dT%H%M%S"


@dataclass(frozen=True)
class Delivery:
    """What arrived together.

    Attributes:
        name: what it is called in messages.
        paths: what it consists of in the inbox: one folder or archive, or several class folders.
    """

    name: str
    paths: tuple[Path, ...]


def inbox_folder(project: Project, inbox: str) -> Path:
    """The inbox; it is made where it is missing.

    Raises:
        GraftError: it lies inside data/, or data/ inside it.
    """
    folder = (project.root / Path(inbox).expanduser()).resolve()
    data = project.data.resolve()
    if folder == data or folder.is_relative_to(data) or data.is_relative_to(folder):
        raise GraftError(
            f"retrain.source.inbox is {folder}, and data/ lies in it or it in data/",
            "Name a folder beside data/ in params.yaml",
        )
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def find_deliveries(inbox: Path, settle_seconds: float) -> tuple[list[Delivery], list[str]]:
    """The deliveries that are complete, by name, and the names of those that are still arriving.

    Args:
        inbox: see :func:`inbox_folder`.
        settle_seconds: how long nothing in a delivery may have changed for it to count as complete.
    """
    deliveries, loose, arriving = [], [], []
    newest_allowed = time.time() - settle_seconds
    for entry in _entries(inbox):
        if _is_unfinished(entry) or _last_change(entry) > newest_allowed:
            arriving.append(entry.name)
        elif entry.is_dir() and any(child.is_file() and is_image(child.name) for child in entry.iterdir()):
            loose.append(entry)
        else:
            deliveries.append(Delivery(entry.name, (entry,)))
    if loose:
        deliveries.append(Delivery(LOOSE, tuple(loose)))
    return deliveries, arriving


def wait_until_settled(
    inbox: Path, settle_seconds: float, wait: Callable[[float], None] = time.sleep
) -> None:
    """Gives what has just been copied into the inbox the time to count as complete; a long one is not waited for."""
    changes = {entry.name: _last_change(entry) for entry in _entries(inbox) if not _is_unfinished(entry)}
    left = max(changes.values(), default=0.0) + settle_seconds - time.time()
    if 0 < left <= min(settle_seconds, PATIENCE_SECONDS):
        newest = max(changes, key=lambda name: changes[name])
        console.print(f"Waiting {left:.0f} s for {newest} to be complete", soft_wrap=True, markup=False)
        wait(left)


def put_away(delivery: Delivery, inbox: Path, at: datetime) -> None:
    """Moves a delivery that was taken in to ``done/`` of the inbox; what has gone already is passed over."""
    target = inbox / DONE / _stamped(delivery.name, at)
    for path in delivery.paths:
        if path.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            _move(path, target if len(delivery.paths) == 1 else target / path.name)


def quarantine(
    delivery: Delivery, folder: Path, at: datetime, reasons: Sequence[str], more: Any = None
) -> Path:
    """Moves a whole delivery into the quarantine, with its reasons beside it; returns where it lies then.

    Args:
        delivery: what to move; what has gone already is passed over.
        folder: the quarantine.
        at: names the place.
        reasons: why, a sentence each.
        more: what else is known, JSON-ready.
    """
    target = folder / _stamped(delivery.name, at)
    target.mkdir(parents=True, exist_ok=True)
    _write_reasons(target, delivery.name, at, reasons, more)
    for path in delivery.paths:
        if path.exists():
            _move(path, target / path.name)
    return target


def quarantine_images(
    name: str, folder: Path, at: datetime, images: Sequence[tuple[Path, str, str]], reasons: Sequence[str]
) -> Path:
    """Copies single images of a delivery into the quarantine.

    Args:
        name: of the delivery.
        folder: the quarantine.
        at: names the place.
        images: of each its file, its path in the delivery, and what is wrong with it.
        reasons: of the whole, a sentence each.
    """
    target = folder / _stamped(name, at)
    target.mkdir(parents=True, exist_ok=True)
    _write_reasons(target, name, at, reasons, [{"path": where, "found": why} for _, where, why in images])
    for file, where, _ in images:
        copy = target / where
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)
    return target


def remove_old(inbox: Path, days: float) -> list[str]:
    """Removes deliveries that were put away more than so many days ago; returns their names."""
    limit = time.time() - days * 86400
    gone = []
    for entry in sorted((inbox / DONE).glob("*")):
        try:
            since = datetime.strptime(entry.name[:17], _TIME).replace(tzinfo=UTC).timestamp()
        except ValueError:
            continue  # not graft's
        if since < limit:
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
            gone.append(entry.name)
    return gone


def _entries(inbox: Path) -> list[Path]:
    """What may be a delivery, by name."""
    return [
        entry
        for entry in sorted(inbox.iterdir())
        if not entry.name.startswith(".") and not (entry.name == DONE and entry.is_dir())
    ]


def _is_unfinished(entry: Path) -> bool:
    return entry.name.lower().endswith(_UNFINISHED)


def _stamped(name: str, at: datetime) -> str:
    return f"{at.strftime(_TIME)}-{name}"


def _write_reasons(target: Path, name: str, at: datetime, reasons: Sequence[str], more: Any) -> None:
    content = {
        "delivery": name,
        "at": at.isoformat(timespec="seconds"),
        "reasons": list(reasons),
        "details": more if more is not None else [],
        "what_to_do": "Mend it and move it back into the inbox, or remove it: nothing here is used.",
    }
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    (target / REASONS_FILE).write_text(text, encoding="utf-8")


def _move(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.rename(target)
    except OSError:
        # Another file system: copied under another name first, so that a torn copy is never taken for the whole.
        partial = target.with_name(f"{target.name}.partial")
        if partial.is_dir():
            shutil.rmtree(partial)
        shutil.copytree(path, partial) if path.is_dir() else shutil.copyfile(path, partial)
        partial.rename(target)
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _last_change(path: Path) -> float:
    """When anything in a file or folder last changed, in seconds since 1970: content, name or place."""
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
