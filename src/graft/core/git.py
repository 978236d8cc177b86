"""Run git as a command, with a time limit and one sentence where it refuses."""

import os
import re
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from graft.core.errors import GraftError, first_line

TIMEOUT_SECONDS = 120.0
_ABANDONED_SECONDS = 5.0  # git holds its lock for a fraction of one
# git names the setting in every language.
_OF_ANOTHER = re.compile(r"git config --global --add safe\.directory .+")
# Where a repository is. git sets these for its hooks, and a shell may hold them: every git, and DVC, would read and
# write that one, whatever folder it runs in.
_REPOSITORY = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_COMMON_DIR",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_QUARANTINE_PATH",
    "GIT_SHALLOW_FILE",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
)


class OwnerError(GraftError):
    """git does not read a repository because another user owns it."""


def leave_other_repository() -> None:
    """Have git and DVC look for the repository from where they run, in this process and those it starts."""
    for name in _REPOSITORY:
        os.environ.pop(name, None)


def without_hooks() -> dict[str, str]:
    """Return variables for a command of graft's own, which is none of the user's hooks' business.

    Settings that the environment has are kept: containers trust a repository by them, and name who commits.
    """
    count = os.environ.get("GIT_CONFIG_COUNT") or "0"
    number = int(count) if count.isdigit() else 0
    own = {f"GIT_CONFIG_KEY_{number}": "core.hooksPath", f"GIT_CONFIG_VALUE_{number}": os.devnull}
    return {"GIT_CONFIG_COUNT": str(number + 1), **own}


def run_git(
    folder: Path,
    *arguments: str,
    text: str | None = None,
    timeout: float = TIMEOUT_SECONDS,
    environment: Mapping[str, str] | None = None,
) -> str:
    """Return what a git command prints, without the white space around it. It never asks for a password.

    Args:
        arguments: behind ``git``.
        timeout: seconds that it may take.

    Raises:
        OwnerError: the repository is another user's; with git's cure.
        GraftError: git is missing, took too long, or refuses; the message gives git's own reason.
    """
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=folder,
            env={**os.environ, "GIT_TERMINAL_PROMPT": "0", **(environment or {})},
            input=text,
            stdin=subprocess.DEVNULL if text is None else None,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
    except subprocess.TimeoutExpired:
        raise GraftError(f"`git {arguments[0]}` took longer than {timeout:.0f} s", "Run it by hand") from None
    except OSError as error:
        raise GraftError(f"git cannot be run: {error.strerror}", "Install git") from None
    if done.returncode:
        if cure := _OF_ANOTHER.search(done.stderr):
            raise OwnerError(
                f"git does not read the repository of {folder}: it belongs to another user",
                f"If you trust it: {cure[0].strip()}; else have it belong to you",
            )
        reason = first_line(Exception(done.stderr)) if done.stderr.strip() else f"exit code {done.returncode}"
        raise GraftError(f"`git {arguments[0]}` failed in {folder}: {reason}", "Do what git says")
    return done.stdout.strip()


def try_git(folder: Path, *arguments: str, timeout: float = TIMEOUT_SECONDS) -> str | None:
    """Return what a git command prints, or None where git refuses or is missing.

    Raises:
        OwnerError: as :func:`run_git`; to take that for "no repository" would give the wrong advice.
    """
    try:
        return run_git(folder, *arguments, timeout=timeout)
    except OwnerError:
        raise
    except GraftError:
        return None


def remove_abandoned_lock(folder: Path) -> bool:
    """Remove git's lock on its index where the git that made it was killed; return whether it was removed.

    That is so where it stays the same for five seconds while no git is at work in the repository.
    """
    from graft.core.processes import is_at_work

    top = repository_top(folder)
    lock = Path(run_git(folder, "rev-parse", "--path-format=absolute", "--git-path", "index.lock"))
    try:
        before = lock.stat()
        time.sleep(_ABANDONED_SECONDS)
        now = lock.stat()
    except OSError:
        return False
    is_same = (before.st_ino, before.st_mtime_ns) == (now.st_ino, now.st_mtime_ns)
    if not is_same or top is None or is_at_work("git", top.resolve()):
        return False
    lock.unlink(missing_ok=True)
    return True


def repository_top(folder: Path) -> Path | None:
    """Return the top folder of the repository that a folder lies in, None where it lies in none or git is missing.

    Raises:
        OwnerError: as :func:`run_git`.
    """
    top = try_git(folder, "rev-parse", "--show-toplevel")
    return Path(top) if top else None


def identity(folder: Path) -> dict[str, str]:
    """Return variables for a commit in ``folder``: none, or the name graft where git knows none of the account's."""
    if try_git(folder, "var", "GIT_COMMITTER_IDENT") is not None:
        return {}
    nobody = {"NAME": "graft", "EMAIL": "graft@localhost"}
    return {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in nobody.items()}
