"""Cache files that follow from a frozen network: put in place whole, and used only if they are as written.

::

    <folder>/<name>/...       a network in OpenVINO's form, a backbone's record, or an exported model
    <folder>/<name>/sha256    of all of its files together

The name is a hash of all that decides what the files hold, as that of a space of the feature store is. Safe to delete
at any time: what is gone, or damaged, is made anew.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from graft.core.files import folder_bytes, new_folder, sha256_of

# All together; the one used longest ago goes first. Two dozen of MobileNetV2 with a head, and the largest of Keras' but
# one once.
LIMIT_BYTES = 2 * 10**9
DIGEST = "sha256"

T = TypeVar("T")


def cached_folder(parent: Path, description: Mapping[str, Any]) -> Path:
    """Return the folder below ``parent`` in which artefacts for ``description`` (JSON-ready) are cached."""
    text = json.dumps(description, sort_keys=True)
    return parent / hashlib.sha256(text.encode()).hexdigest()[:24]


def is_cached(folder: Path | None) -> bool:
    """Return whether something is cached there, whole or not."""
    return folder is not None and (folder / DIGEST).is_file()


def is_whole(folder: Path | None) -> bool:
    """Return whether the cached files are as they were written; remove them where not."""
    if folder is None or not folder.is_dir():
        return False
    with suppress(OSError):  # another process may have removed it
        if folder_digest(folder) == (folder / DIGEST).read_text(encoding="ascii"):
            with suppress(OSError):
                os.utime(folder)  # used now
            return True
    shutil.rmtree(folder, ignore_errors=True)
    return False


def cached_or_made(folder: Path | None, make: Callable[[Path], None], use: Callable[[Path], T]) -> T:
    """Return ``use`` of the cached folder, or of one that is made now and cached.

    Args:
        folder: in the cache; None caches nothing.
        use: is asked again, with the new folder, where it fails with the cached one: another process may have removed
            that since it was looked at.

    Raises:
        Exception: what ``make`` raises, or ``use`` with what was made.
    """
    if folder is not None and is_whole(folder):
        with suppress(Exception):
            return use(folder)
    with tempfile.TemporaryDirectory() as made:
        make(Path(made))
        if folder is not None:
            keep(Path(made), folder)
        return use(Path(made))


def keep(made: Path, folder: Path) -> None:
    """Copy the folder ``made`` into its place, whole or not at all; where that fails it is made again next time."""
    with suppress(OSError), new_folder(folder) as partial:
        shutil.copytree(made, partial, dirs_exist_ok=True)
        (partial / DIGEST).write_text(folder_digest(partial), encoding="ascii")
    prune_cached(folder.parent, LIMIT_BYTES, keep=folder)


def prune_cached(parent: Path, limit_bytes: int, keep: Path | None = None) -> int:
    """Remove what was used longest ago, until the limit holds; return the bytes removed."""
    found = []
    for folder in parent.glob("*/"):
        with suppress(OSError):  # another process may have removed it
            found.append((folder.stat().st_mtime_ns, folder, folder_bytes(folder)))
    used, removed = sum(size for _, _, size in found), 0
    for _, folder, size in sorted(found):
        if used - removed <= limit_bytes:
            break
        if folder != keep:
            shutil.rmtree(folder, ignore_errors=True)
            removed += size
    return removed


def folder_digest(folder: Path) -> str:
    """Return the SHA-256 of the names and bytes of all files below ``folder`` but the digest itself; hexadecimal."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / DIGEST):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0")
        digest.update(bytes.fromhex(sha256_of(path)))
    return digest.hexdigest()
