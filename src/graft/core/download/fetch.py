"""Download files: packages' archives by their digest, and plain https files.

Both are stored under a name that starts with the digest (or, where none is known, with a hash of the address),
are checked again whenever they are used, and appear under that name only once they are whole::

    <folder>/<12 digits>-<file name>           whole and checked
    <folder>/<12 digits>-<file name>.part      received so far; the next run goes on from there

Redirects are followed where https stays https, and where none leads from a public host to one of this network. So a
digest that is noted from a first download came over https all the way.

Nothing in a package is imported, built or run: its archive is a file to read from.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from graft.core.download.package_index import index_address, index_session
from graft.core.download.redirects import new_session, require_hop, require_https
from graft.core.errors import GraftError
from graft.core.files import sha256_of, sync, write_file
from graft.core.lock import locked
from graft.core.progress import download_bar
from graft.core.threads import within

if TYPE_CHECKING:
    import requests

CONNECT_SECONDS = 3.0  # an address that answers at all does so sooner; a firewall that drops packets never does
OPEN_SECONDS = 10.0  # name lookup (which has no timeout of its own), connection and headers together
READ_SECONDS = 30.0  # silence in the middle of a file before the connection counts as dropped
ATTEMPTS = 5  # connections per file; only those that brought something are followed by another
LOCK_SECONDS = 3600.0  # for another command that fetches the same file, over a slow line
SPARE_BYTES = 64 * 2**20  # left free on the disk: a full one breaks whatever else is running

_PATIENT: Any = {"stream": True, "timeout": (CONNECT_SECONDS, READ_SECONDS)}
_LONGEST_NAME = 100


class _DroppedError(Exception):
    """The connection failed; the message says how in a few words."""


def registry_archive(package: str, version: str, sha256: str, folder: Path) -> Path:
    """Return the wheel or source archive of a package with this digest, fetched unless it is in ``folder``.

    The index is the one that PIP_INDEX_URL, UV_DEFAULT_INDEX, UV_INDEX_URL or pip.conf names, else the public one.

    Raises:
        GraftError: the index does not answer or does not have that file, what it sent has another digest, or
            the disk is full.
    """
    present = fetched_file(folder, sha256)
    if present:
        return present
    from pypi_simple import NoSuchProjectError, PyPISimple
    from requests import RequestException

    label = f"{package} {version}"
    with PyPISimple(index_address(), session=index_session()) as client:
        try:
            page = within(OPEN_SECONDS, lambda: client.get_project_page(package, (CONNECT_SECONDS, READ_SECONDS)))
        except NoSuchProjectError:
            raise GraftError(
                f"The package index has no package {package}", "Name an index that has it in PIP_INDEX_URL"
            ) from None
        except (RequestException, TimeoutError) as error:
            raise _unreachable(label, "the package index", _reason(error), _INDEX_ADVICE) from None
        except ValueError:  # a login page, or a proxy's error page
            reason = "what answers there is not an index"
            raise _unreachable(label, "the package index", reason, _INDEX_ADVICE) from None
        files = [file for file in page.packages if file.digests.get("sha256") == sha256]
        if not files:
            raise GraftError(
                f"The package index has no file of {label} with SHA-256 {sha256}",
                "Name an index that has it in PIP_INDEX_URL",
            )
        require_hop(index_address(), files[0].url)
        target = folder / f"{sha256[:12]}-{_plain(files[0].filename)}"
        return _fetch(client.s, files[0].url, target, sha256, label, "the package index")


def download(url: str, folder: Path, sha256: str | None = None) -> Path:
    """Return the file at an https address, fetched unless it is in ``folder``; an interrupted one is continued.

    Without ``sha256`` the digest of what came first is noted beside the file, and held against it ever after.

    Raises:
        GraftError: the address is not https, does not answer within seconds or answers with an error, what it
            sent has another digest, or the disk is full.
    """
    require_https(url)
    present = downloaded(url, folder, sha256)
    if present:
        return present
    with new_session() as session:
        host = urlsplit(url).hostname or url
        return _fetch(session, url, _target(url, folder, sha256), sha256, file_name(url), host)


def downloaded(url: str, folder: Path, sha256: str | None = None) -> Path | None:
    """Return the whole file that :func:`download` left in ``folder``, or None."""
    target = _target(url, folder, sha256)
    return target if _is_whole(target, sha256) else None


def file_name(url: str) -> str:
    """Return the name that a file has at its address, without what a file system could refuse."""
    return _plain(PurePosixPath(unquote(urlsplit(url).path)).name or "file")


def _plain(name: str) -> str:
    return re.sub(r"[^\w.+-]", "_", name)[-_LONGEST_NAME:]


def fetched_file(folder: Path, sha256: str) -> Path | None:
    """Return the whole file with this digest in ``folder``, or None."""
    for path in folder.glob(f"{sha256[:12]}-*"):
        if path.suffix not in (".part", ".tag", ".sha256") and _is_whole(path, sha256):
            return path
    return None


def index_has(package: str) -> bool:
    """Return whether the package index answers for a package right now."""
    from pypi_simple import PyPISimple

    with PyPISimple(index_address(), session=index_session()) as client:
        return _answers(client.s, client.get_project_url(package), CONNECT_SECONDS)


def is_reachable(url: str, seconds: float = CONNECT_SECONDS) -> bool:
    """Return whether an address answers right now, without fetching what is there."""
    with new_session() as session:
        return _answers(session, url, seconds)


def _fetch(session: requests.Session, url: str, target: Path, sha256: str | None, label: str, host: str) -> Path:
    part = target.with_name(target.name + ".part")
    with _disk_errors(target.parent, label):
        target.parent.mkdir(parents=True, exist_ok=True)
        # Two commands that append to one part would spoil it; the second waits and finds the file.
        with locked(
            target.with_name(f".{target.name}.lock"),
            f"Another command is fetching {label}",
            wait_seconds=LOCK_SECONDS,
            waiting=f"Waiting for another command that fetches {label}",
        ):
            if _is_whole(target, sha256):
                return target
            for _ in range(ATTEMPTS):
                before = part.stat().st_size if part.exists() else 0
                try:
                    resumed = _receive(session, url, part, label, host, has_digest=sha256 is not None)
                except _DroppedError as drop:
                    if part.exists() and part.stat().st_size > before:
                        continue
                    raise _unreachable(label, host, str(drop), _NETWORK_ADVICE) from None
                digest = sha256_of(part)
                if sha256 in (None, digest):
                    if sha256 is None:
                        write_file(_note_of(target), digest)
                    sync(part)
                    part.replace(target)
                    sync(target.parent)
                    _tag_of(part).unlink(missing_ok=True)
                    return target
                part.unlink()
                if not resumed:  # else the part that was continued may have been the wrong one
                    raise GraftError(
                        f"{label} from {host} has SHA-256 {digest}, not the expected {sha256}: not kept",
                        "Try again later or from another network: what was sent is not the published file",
                    )
    raise _unreachable(label, host, "the connection kept breaking", _NETWORK_ADVICE)


def _receive(session: requests.Session, url: str, part: Path, label: str, host: str, has_digest: bool) -> bool:
    """Receive the rest of a file into ``part``; return whether there was a beginning to go on from."""
    from requests import RequestException

    have = part.stat().st_size if part.exists() else 0
    tag = _tag_of(part).read_text(encoding="utf-8") if _tag_of(part).exists() else ""
    headers = {"Accept-Encoding": "identity"}  # a compressed answer could be neither measured nor continued
    if have and (has_digest or tag):
        headers["Range"] = f"bytes={have}-"
        if tag:
            headers["If-Range"] = tag
    try:
        response = within(OPEN_SECONDS, lambda: session.get(url, headers=headers, **_PATIENT))
    except (RequestException, TimeoutError) as error:
        raise _DroppedError(_reason(error)) from None
    with response:
        if response.status_code == 416:  # the part is longer than the file
            part.unlink()
            return _receive(session, url, part, label, host, has_digest)
        if response.status_code >= 400:
            raise GraftError(
                f"{label} cannot be fetched: {host} answers {response.status_code} {response.reason}",
                "Try again later; if it stays so, the file has moved",
            )
        resumed = response.status_code == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        if response.status_code == 206 and not resumed:
            part.unlink(missing_ok=True)
            raise GraftError(f"{host} sent another part of {label} than asked for", "Run the command again")
        rest = int(response.headers.get("Content-Length") or 0)
        _require_space(part.parent, rest, label)
        _tag_of(part).write_text(_validator(response), encoding="utf-8")
        try:
            bar = download_bar(label, have * resumed, rest)
            with part.open("ab" if resumed else "wb") as out, bar as advance:
                for chunk in response.iter_content(1 << 16):
                    out.write(chunk)
                    advance(len(chunk))
        except RequestException as error:
            raise _DroppedError(_reason(error)) from None
    return resumed


def _target(url: str, folder: Path, sha256: str | None) -> Path:
    key = sha256 or hashlib.sha256(url.encode()).hexdigest()
    return folder / f"{key[:12]}-{file_name(url)}"


def _validator(response: requests.Response) -> str:
    """Return what tells this version of the file from another; weak tags do not vouch for single bytes."""
    tag = response.headers.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified", "")


def _is_whole(path: Path, sha256: str | None) -> bool:
    if not path.is_file():
        return False
    if sha256 is None:
        note = _note_of(path)
        sha256 = note.read_text(encoding="ascii").strip() if note.exists() else ""
    return sha256_of(path) == sha256


def _note_of(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def _tag_of(part: Path) -> Path:
    return part.with_name(part.name + ".tag")


def _answers(session: requests.Session, url: str, seconds: float) -> bool:
    def ask() -> bool:
        with session.get(url, stream=True, timeout=seconds) as response:
            return response.status_code < 400

    try:
        return within(seconds, ask)
    except (GraftError, OSError, ValueError):  # requests' own errors and TimeoutError are OSErrors
        return False


def _require_space(folder: Path, size: int, label: str) -> None:
    free = shutil.disk_usage(folder).free
    if size + SPARE_BYTES > free:
        raise GraftError(
            f"{label} needs {size / 1e6:.0f} MB in {folder}, where {free / 1e6:.0f} MB are free",
            "Free some space, or name another folder in GRAFT_CACHE",
        )


@contextlib.contextmanager
def _disk_errors(folder: Path, label: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            advice = "Free some space and run the command again: it goes on from there"
            raise GraftError(f"The disk became full while {label} was written to {folder}", advice) from None
        raise GraftError(
            f"{label} cannot be written to {folder}: {error.strerror or error}",
            "Make that folder writable, or name another in GRAFT_CACHE",
        ) from None


_NETWORK_ADVICE = "Check the network and run the command again; what was received so far is kept"
_INDEX_ADVICE = "Check the network; where a mirror serves packages, name its address in PIP_INDEX_URL"


def _unreachable(label: str, host: str, reason: str, advice: str) -> GraftError:
    return GraftError(f"{label} cannot be fetched: {host}: {reason}", advice)


def _reason(error: Exception) -> str:
    """Return why a connection failed in a few words; the full text would repeat addresses, with passwords in them."""
    from requests import exceptions

    if isinstance(error, exceptions.HTTPError) and error.response is not None:
        return f"answers {error.response.status_code} {error.response.reason}"
    kinds: list[tuple[type[Exception], str]] = [
        (exceptions.SSLError, "its certificate is not trusted here"),
        (exceptions.ProxyError, "the proxy refuses"),
        (exceptions.Timeout, "no answer within seconds"),
        (TimeoutError, "no answer within seconds"),
        (exceptions.ChunkedEncodingError, "the connection broke off"),
        (exceptions.ConnectionError, "no connection"),
    ]
    for kind, text in kinds:
        if isinstance(error, kind):
            return text
    return type(error).__name__
