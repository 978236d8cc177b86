"""Decide who may ask: whoever sends the token; without one, this machine's programs and the server's own page."""

import hmac
import ipaddress
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from graft.core.errors import GraftError

# 16 characters of a random token cannot be guessed over a network; shorter ones are words that somebody made up.
MIN_TOKEN_LENGTH = 16
MAKE_TOKEN = "python -c 'import secrets; print(secrets.token_urlsafe())'"


def is_loopback(host: str) -> bool:
    """Return whether an address to bind to, or the name in a request's Host header, means this machine alone."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Access:
    """The rule of who may ask, applied to a request's headers.

    Args:
        host: the address the server is bound to.
        token: what a request must carry as ``Authorization: Bearer <token>``; None asks for none, on loopback.

    Raises:
        GraftError: other machines can reach ``host`` and there is no token, or the token is too short or cannot stand
            in a header.
    """

    def __init__(self, host: str, token: str | None) -> None:
        if token is None:
            if not is_loopback(host):
                raise GraftError(
                    f"{host} can be reached from other machines, and there is to be no token",
                    "Leave --no-token out, or serve on 127.0.0.1 alone",
                )
        elif len(token) < MIN_TOKEN_LENGTH:
            raise GraftError(
                f"The token has {len(token)} characters, and {MIN_TOKEN_LENGTH} is the least",
                f"Make one with {MAKE_TOKEN}",
            )
        elif not all("!" <= character <= "~" for character in token):
            raise GraftError(
                "The token holds characters that cannot stand in a header",
                f"Use ASCII letters, digits and signs, no spaces: {MAKE_TOKEN}",
            )
        self._expected = None if token is None else token.encode()

    @property
    def wants_token(self) -> bool:
        return self._expected is not None

    def allows(self, authorization: str | None) -> bool:
        """Return whether the header ``Authorization`` holds the token; it is compared in constant time."""
        if self._expected is None:
            return True
        scheme, _, token = (authorization or "").partition(" ")
        given = token.strip() if scheme.lower() == "bearer" else ""
        # As bytes: of text, compare_digest takes ASCII alone.
        return hmac.compare_digest(given.encode(), self._expected)

    def knows_host(self, host: str | None) -> bool:
        """Return whether the header ``Host`` names this server.

        Without a token any page that the user has open could have its own name resolved to loopback and read the
        answers (DNS rebinding); with one, the name does not matter.
        """
        if self._expected is not None:
            return True
        try:
            return is_loopback(urlsplit(f"//{host or ''}").hostname or "")
        except ValueError:
            return False

    def is_from_elsewhere(self, headers: Headers) -> bool:
        """Return whether a browser says that a page of another origin sent the request.

        Without a token every page that the user has open could send photographs, or post a form. Browsers name a page's
        origin (https://fetch.spec.whatwg.org/#origin-header) and how it relates to this server
        (https://www.w3.org/TR/fetch-metadata/); another port of this machine is another origin. Programs name neither.
        """
        if self._expected is not None:
            return False  # no page of another origin has it, and browsers add none by themselves
        own = headers.get("host", "")
        return any(origin.partition("://")[2] != own for origin in headers.getlist("origin")) or any(
            site not in ("same-origin", "none") for site in headers.getlist("sec-fetch-site")
        )
