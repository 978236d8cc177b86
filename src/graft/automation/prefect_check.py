"""Find out in seconds, and say in one sentence, that a Prefect server which the user has named is of no use."""

from __future__ import annotations

import os
import re
import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from graft.automation.prefect_server import PASSWORD, URL
from graft.core.certificates import OF_PREFECT, require_certificates
from graft.core.credentials import without_credentials
from graft.core.errors import GraftError, first_line
from graft.core.proxies import require_proxy
from graft.core.threads import within

if TYPE_CHECKING:
    from packaging.version import Version

# Of each attempt to connect, of which Prefect's client makes four; and of an answer, once connected.
CONNECT_SECONDS, ANSWER_SECONDS = 2.0, 10.0
# Of everything: a server may tell Prefect's client to come again in an hour, or answer a byte at a time.
CHECK_SECONDS = 20.0
_DATABASES = ("PREFECT_SERVER_DATABASE_CONNECTION_URL", "PREFECT_API_DATABASE_CONNECTION_URL")
_CLOUD = "api.prefect.cloud"
_START_OR_CORRECT = (
    f"Start it, or correct {URL}; without that variable graft starts a server of its own where it needs one"
)


def require_settings() -> None:
    """Raise GraftError where Prefect does not take one of its settings: it cannot even be imported then."""
    from pydantic import ValidationError

    try:
        import prefect.context  # noqa: F401
    except ValidationError as error:
        problem = error.errors()[0]
        given = str(problem["input"])
        names = [name for name, value in os.environ.items() if value.lower() == given.lower() and "PREFECT_" in name]
        what = f"{(names or ['A setting of Prefect'])[0]} is {given!r}, which Prefect does not take: {problem['msg']}"
        raise GraftError(what, "Correct it, or unset that variable") from None


def require_database() -> None:
    """Raise GraftError where the database that the environment names for graft's own server does not answer.

    That is left over where somebody has started a server by hand; Prefect would try to reach it for minutes.
    """
    for name in _DATABASES:
        url = urlsplit(os.environ.get(name, ""))
        if not url.hostname:
            continue
        try:
            socket.create_connection((url.hostname, url.port or 5432), CONNECT_SECONDS).close()
        except (OSError, ValueError) as error:
            reason = re.sub(r"^\[Errno -?\d+\] ", "", first_line(error))
            raise GraftError(
                f"{name} names a database at {url.hostname} for Prefect's server, which cannot be reached: {reason}",
                f"Start it, or unset {name}: graft's own server then has a file",
            ) from None


def check_named_server(url: str) -> None:
    """Ask the Prefect server or workspace of Prefect Cloud at ``url`` whether it lets this process in.

    It is asked with everything that Prefect's settings say about certificates, proxies, passwords and keys.

    Raises:
        GraftError: it does not answer, is none, is of another major version, or refuses the password or key.
    """
    import httpx
    from prefect.exceptions import PrefectHTTPStatusError
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES

    require_proxy(url)
    require_certificates(url, OF_PREFECT)
    where = f"The Prefect server at {without_credentials(url)}, which {URL} names,"
    settings = {PREFECT_API_URL: url, PREFECT_CLIENT_MAX_RETRIES: 0}
    if password := os.environ.get(PASSWORD):
        settings[PREFECT_API_AUTH_STRING] = password
    ending = "/api/accounts/<id>/workspaces/<id>" if _CLOUD in url else "/api"
    no_server = GraftError(f"{where} answers, but not as Prefect does", f"Correct {URL}: it ends with {ending}")
    try:
        theirs, ours = within(CHECK_SECONDS, lambda: _versions_once_let_in(settings))
    except PrefectHTTPStatusError as error:
        status = error.response.status_code
        if status in (401, 403):
            raise _refusal(where) from None
        if status == 404:
            raise no_server from None
        raise GraftError(f"{where} answers with the error {status}", "See the server's log") from None
    except (httpx.TransportError, TimeoutError) as error:
        reason = re.sub(r"^\[Errno -?\d+\] ", "", first_line(error))
        what = "does not answer in time" if isinstance(error, (httpx.TimeoutException, TimeoutError)) else reason
        fix = "Name the authority's file in PREFECT_API_SSL_CERT_FILE" if "CERTIFICATE" in what else _START_OR_CORRECT
        raise GraftError(f"{where} cannot be reached: {what}", fix) from None
    except (ValueError, httpx.InvalidURL, httpx.RequestError):  # no JSON, no version, or redirects without an end
        raise no_server from None
    if theirs is not None and theirs.major != ours.major:
        raise GraftError(
            f"{where} is of version {theirs}, and graft works with Prefect {ours.major}",
            f"Use a server of Prefect {ours.major}, or unset {URL}: graft then starts its own",
        )


def _versions_once_let_in(settings: dict[Any, Any]) -> tuple[Version | None, Version]:
    """Return the server's version, None for Prefect Cloud, and that of Prefect here, where flows can be read."""
    import httpx
    from packaging.version import Version
    from prefect.client.base import ServerType
    from prefect.client.orchestration import get_client
    from prefect.settings import temporary_settings

    timeout = httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS)
    with temporary_settings(settings), get_client(sync_client=True, httpx_settings={"timeout": timeout}) as client:
        ours = Version(client.client_version())
        theirs = None if client.server_type == ServerType.CLOUD else Version(str(client.api_version()))
        if theirs is None or theirs.major == ours.major:  # an older one may know no flows
            client.read_flows(limit=1)
    return theirs, ours


def _refusal(where: str) -> GraftError:
    has_key = os.environ.get("PREFECT_API_KEY") and not os.environ.get(PASSWORD)
    setting = "PREFECT_API_KEY" if has_key or _CLOUD in where else PASSWORD
    said = f"refuses that of {setting}" if os.environ.get(setting) else f"{setting} is not set"
    return GraftError(
        f"{where} wants a password or key, and {said}",
        'Set it; for a server that graft has started, eval "$(graft schedule env)" in its project does',
    )
