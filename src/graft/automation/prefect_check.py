"""Find out in seconds, and say in one sentence, that a Prefect server which the user has named is of no use."""

import os
import re

from graft.automation.prefect_server import PASSWORD, URL
from graft.core.credentials import without_credentials
from graft.core.errors import GraftError, first_line
from graft.core.proxies import require_proxy

# Of each attempt to connect, of which Prefect's client makes four; and of an answer, once connected.
CONNECT_SECONDS, ANSWER_SECONDS = 2.0, 10.0
_CLOUD = "api.prefect.cloud"
_START_OR_CORRECT = (
    f"Start it, or correct {URL}; without that variable graft starts a server of its own where it needs one"
)


def check_named_server(url: str) -> None:
    """Ask the Prefect server or workspace of Prefect Cloud at ``url`` whether it lets this process in.

    It is asked with everything that Prefect's settings say about certificates, proxies, passwords and keys.

    Raises:
        GraftError: it does not answer, is none, is of another major version, or refuses the password or key.
    """
    import httpx
    from packaging.version import Version
    from prefect.client.base import ServerType
    from prefect.client.orchestration import get_client
    from prefect.exceptions import PrefectHTTPStatusError
    from prefect.settings import (
        PREFECT_API_AUTH_STRING,
        PREFECT_API_URL,
        PREFECT_CLIENT_MAX_RETRIES,
        temporary_settings,
    )

    require_proxy(url)
    where = f"The Prefect server at {without_credentials(url)}, which {URL} names,"
    settings = {PREFECT_API_URL: url, PREFECT_CLIENT_MAX_RETRIES: 0}
    if password := os.environ.get(PASSWORD):
        settings[PREFECT_API_AUTH_STRING] = password
    timeout = httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS)
    ending = "/api/accounts/<id>/workspaces/<id>" if _CLOUD in url else "/api"
    no_server = GraftError(f"{where} answers, but not as Prefect does", f"Correct {URL}: it ends with {ending}")
    try:
        with temporary_settings(settings), get_client(sync_client=True, httpx_settings={"timeout": timeout}) as client:
            if client.server_type != ServerType.CLOUD:
                theirs, ours = client.api_version(), Version(client.client_version()).major
                if Version(str(theirs)).major != ours:
                    raise GraftError(
                        f"{where} is of version {theirs}, and graft works with Prefect {ours}",
                        f"Use a server of Prefect {ours}, or unset {URL}: graft then starts its own",
                    )
            client.read_flows(limit=1)
    except PrefectHTTPStatusError as error:
        status = error.response.status_code
        if status in (401, 403):
            raise _refusal(where) from None
        if status == 404:
            raise no_server from None
        raise GraftError(f"{where} answers with the error {status}", "See the server's log") from None
    except httpx.TransportError as error:
        reason = re.sub(r"^\[Errno -?\d+\] ", "", first_line(error))
        what = "does not answer in time" if isinstance(error, httpx.TimeoutException) else reason
        raise GraftError(f"{where} cannot be reached: {what}", _START_OR_CORRECT) from None
    except (ValueError, httpx.InvalidURL):  # what answers is no JSON, or no version
        raise no_server from None


def _refusal(where: str) -> GraftError:
    has_key = os.environ.get("PREFECT_API_KEY") and not os.environ.get(PASSWORD)
    setting = "PREFECT_API_KEY" if has_key or _CLOUD in where else PASSWORD
    said = f"refuses that of {setting}" if os.environ.get(setting) else f"{setting} is not set"
    return GraftError(
        f"{where} wants a password or key, and {said}",
        'Set it; for a server that graft has started, eval "$(graft schedule env)" in its project does',
    )
