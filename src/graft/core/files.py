"""Write files that are whole or not there, also after a cut of the power, and hash files.

What is written lies under another name beside its target until it is complete and on the disk; one rename then puts
it in place, and the folder is synced so that the rename itself lasts.
"""

import contextlib
import functools
import hashlib
import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PRIVATE_FILE, PRIVATE_FOLDER = 0o600, 0o700
_SUFFIX = ".partial"
_SUFFIX_LENGTH = 20  # what is longer is no suffix, but text behind a full stop
_NAME = re.compile(rf"\..*-[0-9a-f]{{32}}{re.escape(_SUFFIX)}(\..*)?", re.DOTALL)
_ABANDONED_SECONDS = 24 * 60 * 60


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hex digits. Raises OSError where it cannot be read."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def md5_of(path: Path) -> str:
    """Return the MD5 of a file as 32 hex digits, by which DVC names it. Raises OSError where it cannot be read."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def folder_bytes(folder: Path) -> int:
    """Return the total size in bytes of all files below ``folder``."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def read_object(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file; empty where there is no such file, or it holds something else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def write_file(path: Path, content: str | bytes, private: bool = False) -> None:
    """Write a whole file in one step; its folder is made where it is missing.

    Args:
        path: the file, which is replaced where it exists.
        content: text is written as UTF-8, without a change of line ends.
        private: make it readable by its owner alone, from its first byte on.

    Raises:
        OSError: the disk is full or cannot be written; what was there before is still there.
    """
    data = content.encode("utf-8") if isinstance(content, str) else content
    # Without a suffix: DVC reads whatever ends in .dvc, also what a kill has left.
    with replaced_file(path, private, keep_suffix=False) as partial, partial.open("wb") as stream:
        stream.write(data)


@contextlib.contextmanager
def replaced_file(path: Path, private: bool = False, keep_suffix: bool = True) -> Iterator[Path]:
    """Yield a path beside ``path`` to write to; it becomes ``path`` where the block ends well, else it is removed.

    Args:
        path: the target; its folder is made where it is missing.
        private: create the partial file beforehand, readable by its owner alone.
        keep_suffix: the partial file has the last two suffixes of its target (``.weights.h5``), since libraries choose
            a format by them.

    Raises:
        OSError: the disk is full or cannot be written; what was there before is still there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned_once(path.parent)
    suffixes = "".join(suffix for suffix in path.suffixes[-2:] if keep_suffix and len(suffix) <= _SUFFIX_LENGTH)
    partial = _beside(path, path.stem, suffixes)
    try:
        if private:
            os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, PRIVATE_FILE))
        yield partial
        sync(partial)
        partial.replace(path)
        sync(path.parent)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()


@contextlib.contextmanager
def new_folder(path: Path, replace: bool = False) -> Iterator[Path]:
    """Yield an empty folder beside ``path`` to fill; it becomes ``path`` where the block ends well, else it is removed.

    Args:
        path: must not exist, or be an empty folder, at the end of the block.
        replace: it may hold anything, which is removed once the new folder is in its place.

    Raises:
        OSError: the disk is full or cannot be written; or ``path`` holds something by then.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned_once(path.parent)
    partial = _beside(path, path.name)
    old = partial.with_suffix(".replaced")
    partial.mkdir()
    try:
        yield partial
        sync_tree(partial)
        if replace and path.exists():
            path.rename(old)
        try:
            partial.rename(path)
        except OSError:
            if old.exists():
                old.rename(path)
            raise
        sync(path.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)


def remove_abandoned(folder: Path) -> None:
    """Remove what writers that were killed left in a folder: partial files and folders unchanged for a day."""
    oldest = time.time() - _ABANDONED_SECONDS
    for path in folder.glob(f".*-*{_SUFFIX}*"):
        with contextlib.suppress(OSError):
            if _NAME.fullmatch(path.name) and all(one.lstat().st_mtime < oldest for one in (path, *path.rglob("*"))):
                shutil.rmtree(path) if path.is_dir() else path.unlink()


_remove_abandoned_once = functools.cache(remove_abandoned)  # for each folder: they may hold many files


def _beside(path: Path, start: str, end: str = "") -> Path:
    """Return a new name beside ``path``; a disk takes 255 bytes for one, whatever characters these are."""
    short = start.encode("utf-8", errors="replace")[:100].decode("utf-8", errors="ignore")
    return path.with_name(f".{short}-{uuid.uuid4().hex}{_SUFFIX}{end}")


def sync(path: Path) -> None:
    """Sync a file's bytes, or a folder's names, to the disk before this returns.

    File systems that know no sync of folders are left as they are.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:
        if not path.is_dir():
            raise
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Sync all of a folder to the disk: its files, and the names in it and below. Links are not followed."""
    for where, _, names in os.walk(folder, topdown=False):
        for name in names:
            path = Path(where, name)
            if path.is_file() and not path.is_symlink():
                sync(path)
        sync(Path(where))


def make_private_folder(path: Path) -> None:
    """Make a folder that its owner alone may enter, and take others' rights away where it exists."""
    path.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    if path.stat().st_mode & 0o077:
        path.chmod(PRIVATE_FOLDER)
