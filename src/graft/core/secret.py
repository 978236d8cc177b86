"""The secret of a project, by which its servers tell its owner from everybody else who reaches loopback.

It is made on first need and lies where the owner's account alone can read it. Servers get passwords that are derived
from it, one for each purpose, so that knowing one of them opens none of the others.
"""

import hashlib
import hmac
import re
import secrets
from pathlib import Path

from graft.core.errors import GraftError
from graft.core.files import make_private_folder, write_file
from graft.core.lock import locked
from graft.core.project import Project

_BYTES = 32
_FORM = re.compile(r"[0-9a-f]{64}")


def project_secret(project: Project) -> str:
    """Return the secret of a project as 64 hex digits; the first call makes it.

    Processes that ask at the same time get the same secret.

    Raises:
        GraftError: other accounts can read it, it is damaged, or it cannot be read or written.
    """
    path = secret_file(project)
    try:
        make_private_folder(path.parent)
        if not path.exists():
            with locked(path.with_suffix(".lock"), f"{path} is being written", wait_seconds=10):
                if not path.exists():
                    write_file(path, secrets.token_hex(_BYTES) + "\n", private=True)
        return _read(path)
    except OSError as error:
        raise GraftError(
            f"graft's secret, {error.filename or path}, cannot be used: {error.strerror}",
            f"Make {path.parent} a folder of your own account",
        ) from None


def password_for(project: Project, purpose: str) -> str:
    """Return the password that a project's secret gives for one purpose, as 64 hex digits.

    It is the HMAC-SHA256 (RFC 2104) of the purpose's name under the secret: always the same for one project, and
    without a way back to the secret or to the password for another purpose.

    Args:
        purpose: a fixed name, such as ``"prefect"``.

    Raises:
        GraftError: as :func:`project_secret`.
    """
    return hmac.new(bytes.fromhex(project_secret(project)), purpose.encode(), hashlib.sha256).hexdigest()


def secret_file(project: Project) -> Path:
    """Return where a project's secret lies; below ``project.state``, which git ignores."""
    return project.private / "secret"


def _read(path: Path) -> str:
    anew = f"Delete {path}, and start graft's servers again: a new one is made"
    if path.stat().st_mode & 0o077:
        raise GraftError(
            f"Other accounts can read graft's secret, {path}",
            f"{anew}. Where that does not help, the disk keeps no permissions: move the project to one that does",
        )
    content = path.read_text(encoding="utf-8", errors="replace").strip()
    if not _FORM.fullmatch(content):
        raise GraftError(f"graft's secret, {path}, is damaged", anew)
    return content
