"""Files whose bytes a table names by their hash."""

import hashlib
from pathlib import Path

from graft.core.errors import GraftError

_FIX = "The data changed since it was validated: run `dvc repro` again"


def read_verified(root: Path, path: str, sha256: str) -> bytes:
    """Return the bytes of ``root / path`` where they are those that ``sha256`` names.

    What is computed from a file is stored under a hash, so the hash has to be that of the bytes that were read,
    whatever a table said of the file earlier.

    Args:
        root: a folder; messages name the file by the folder's name and ``path``.
        path: relative to ``root``, with forward slashes.
        sha256: of the file, 64 hex digits.

    Raises:
        GraftError: the file is gone, cannot be read, or holds other bytes.
    """
    try:
        data = (root / path).read_bytes()
    except OSError as error:
        raise GraftError(f"{root.name}/{path} cannot be read any more ({error.strerror})", _FIX) from error
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise GraftError(
            f"{root.name}/{path} holds other bytes than the table says: SHA-256 {found[:12]}..., not {sha256[:12]}...",
            _FIX,
        )
    return data
