"""Check text that comes from outside before it is used: a hash, or a path below a folder.

Outside is whatever graft did not write in this run: names in archives and tables, tags of a registry, requests,
records that another program could have changed. Such text never becomes a path but through this file.
"""

import os
import re
from pathlib import Path, PurePosixPath

from graft.core.errors import GraftError

_SHA256 = re.compile(r"[0-9a-f]{64}")


def is_sha256(text: object) -> bool:
    """Return whether ``text`` is a string of 64 lower-case hex digits."""
    return isinstance(text, str) and _SHA256.fullmatch(text) is not None


def require_sha256(text: object, where: str) -> str:
    """Return ``text`` where it is a SHA-256.

    Args:
        where: what it was read from, for the message.

    Raises:
        GraftError: it is anything but 64 lower-case hex digits.
    """
    if not is_sha256(text):
        raise GraftError(
            f"{where} holds {str(text)[:80]!r} where a SHA-256 belongs", "Have it be 64 hex digits (0-9, a-f)"
        )
    return str(text)


def is_plain(name: str) -> bool:
    """Return whether ``name`` is a relative path that goes down only: no ``..``, empty part or control character."""
    return (
        not PurePosixPath(name).is_absolute()
        and not any(part in ("", ".", "..") for part in name.split("/"))
        and not any(character == "\\" or ord(character) < 32 or ord(character) == 127 for character in name)
        and not (os.name == "nt" and ":" in name)
    )


def own_path(text: str | os.PathLike[str]) -> Path:
    """Return a path that a user wrote, with a leading ``~`` or ``~USER`` as that user's home.

    Where there is no such user or home, or what stands there is no name, the path stays as it is: a file may be
    called so.
    """
    try:
        return Path(os.path.expanduser(text))  # noqa: PTH111 - Path.expanduser raises where there is none
    except ValueError:  # a NUL
        return Path(text)


def path_below(folder: Path, name: str, where: str) -> Path:
    """Return ``folder / name`` where that lies below ``folder``, whatever links there are on the way.

    Nothing is made or opened. Call it before the first folder of the path is made.

    Args:
        folder: that the path must stay in.
        name: a relative path from outside, with ``/`` between its parts.
        where: what it was read from, for the message.

    Raises:
        GraftError: the name is empty or absolute, has an empty part, ``.``, ``..``, a backslash or a control
            character, or leads out of the folder through a link.
    """
    path = folder.joinpath(*name.split("/")) if is_plain(name) else folder
    if path == folder or not path.resolve().is_relative_to(folder.resolve()):
        raise GraftError(
            f"{where} names the path {name[:200]!r}, which does not stay below {folder}",
            "Use names without '..', '\\', empty parts and control characters",
        )
    return path
