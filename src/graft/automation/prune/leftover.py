"""A thing that nobody needs any more: what it is, what it takes, and how it is removed."""

import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path


@dataclass(frozen=True)
class Leftover:
    """A thing that may go.

    Attributes:
        kind: of thing, such as ``model version``.
        name: of it.
        bytes: that it takes on this disk.
        reason: why nobody needs it.
        remove: removes it; may be repeated.
    """

    kind: str
    name: str
    bytes: int
    reason: str
    remove: Callable[[], None]


def on_disk(kind: str, path: Path, reason: str, name: str = "") -> Leftover:
    """Return a file or folder as a leftover."""
    return Leftover(kind, name or path.name, bytes_of(path), reason, partial(remove_path, path))


def older_than(paths: Iterable[Path], days: float) -> list[Path]:
    """Return the paths that were last changed more than so many days ago, those below them too."""
    limit = time.time() - days * 86400
    return [path for path in sorted(paths) if path.exists() and _last_changed(path) < limit]


def bytes_of(path: Path) -> int:
    """Return what a file or folder holds."""
    files = path.rglob("*") if path.is_dir() and not path.is_symlink() else [path]
    return sum(file.lstat().st_size for file in files if file.is_symlink() or file.is_file())


def remove_path(path: Path) -> None:
    """Remove a file or folder, where it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _last_changed(path: Path) -> float:
    below = path.rglob("*") if path.is_dir() and not path.is_symlink() else ()
    return max(one.lstat().st_mtime for one in (path, *below))
