"""Read photographs named by path, only in folders that whoever runs the model has opened for it.

A served model is sent its input by strangers, and a path that they name would be read with the server's rights. So
text is never taken for a path unless it comes in the column for paths, and then only below a folder that the
environment names; nothing in a request can change that.
"""

import os
from pathlib import Path

from .images import UnreadableImageError

# Folders, separated as in PATH, below which the column of paths may name files.
ALLOWED_FOLDERS = "GRAFT_MODEL_PATHS"


def read_named(text: str) -> bytes:
    """Return the bytes of the file at a path that came as text.

    Raises:
        UnreadableImageError: it does not lie, links followed, below an allowed folder, or cannot be read. What lies
            elsewhere is not told from what does not exist.
    """
    named = [folder for folder in os.environ.get(ALLOWED_FOLDERS, "").split(os.pathsep) if folder]
    if not named:
        raise UnreadableImageError(f"paths are not read here: {ALLOWED_FOLDERS} names no folder")
    try:
        path = Path(text).resolve()
        inside = any(path.is_relative_to(Path(folder).resolve()) for folder in named)
    except (OSError, ValueError, RuntimeError):  # a name with a NUL, or links in a circle
        inside = False
    if not inside:
        raise UnreadableImageError(f"the path is in none of the folders that {ALLOWED_FOLDERS} names")
    return read_file(path)


def read_file(path: os.PathLike[str]) -> bytes:
    """Return the bytes of a file.

    Raises:
        UnreadableImageError: there is none, or it cannot be read; the message says why in a few words.
    """
    path = Path(path)
    try:
        if path.exists() and not path.is_file():  # a named pipe would be read for ever
            raise UnreadableImageError("not a file")
        return path.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UnreadableImageError(reason.lower()) from error
