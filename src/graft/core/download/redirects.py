"""Web addresses that may be fetched from, and sessions that check each redirect before it is followed."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from graft.core.certificates import OF_REQUESTS, require_certificates
from graft.core.errors import GraftError
from graft.core.proxies import require_proxy

if TYPE_CHECKING:
    import requests


def new_session() -> requests.Session:
    """Return a session that checks each redirect before it is followed, and asks nothing past a proxy."""
    import requests

    class Session(requests.Session):
        def get_redirect_target(self, response: requests.Response) -> str | None:
            target = super().get_redirect_target(response)
            if target:
                require_hop(response.url, urljoin(response.url, target))
            return target

        def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
            require_proxy(request.url or "")
            require_certificates(request.url or "", OF_REQUESTS)
            return super().send(request, **options)

    return Session()


def require_hop(before: str, after: str) -> None:
    """Raise GraftError where a redirect or a link leaves https, or leads from a public host into this network.

    An index at a plain http address is the user's own choice, and its files have digests: it may lead anywhere.
    """
    here, there = urlsplit(before), urlsplit(after)
    if here.scheme == "https" or _is_local(here.hostname, loopback=True):
        require_https(after)
    if _is_local(there.hostname) and not _is_local(here.hostname):
        raise GraftError(
            f"{here.hostname} leads to {there.hostname}, which is an address of this network", "Use another source"
        )


def require_https(url: str) -> None:
    """Raise GraftError where an address is neither https nor http on this machine."""
    parts = urlsplit(url)
    if parts.scheme != "https" and (parts.scheme != "http" or not _is_local(parts.hostname, loopback=True)):
        raise GraftError(f"{parts.scheme}://{parts.hostname or ''} is not an https address", "Use https")


def _is_local(host: str | None, loopback: bool = False) -> bool:
    """Return whether a host is of this machine, or (unless ``loopback``) of its network, as far as its name says."""
    if host is None or host == "localhost" or host.endswith(".localhost"):
        return host is not None
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or (not loopback and not address.is_global)
