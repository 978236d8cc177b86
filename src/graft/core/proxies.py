"""Set up proxies in the environment: none for this machine itself, and a clear error for those that cannot be used.

httpx, through which flows speak to Prefect, fails before it asks anything where one proxy is of a kind that it does not
know, or an entry of NO_PROXY is of a form that it does not know; also where neither has to do with what it asks.
"""

import importlib.util
import ipaddress
import os
import re
from urllib.parse import urlsplit

from graft.core.credentials import without_credentials
from graft.core.errors import GraftError

# What goes from this machine to itself would be lost in a proxy, which stands between it and others.
LOOPBACK = ("127.0.0.1", "localhost", "::1")
# Name and value of a proxy that was taken out of the environment.
UNUSABLE = "GRAFT_UNUSABLE_PROXY"
_VARIABLES = ("https_proxy", "http_proxy", "all_proxy", "HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")


def normalise_proxies() -> None:
    """Rewrite the environment's proxies to forms that all libraries take, and none for this machine.

    A proxy that they cannot use is taken out for this process and those it starts; :func:`require_proxy` says so where
    it would have been used.
    """
    for name in _VARIABLES:
        value = os.environ.get(name, "").strip()
        if value.lower().startswith("socks://"):  # desktops write it so, and mean the newest
            value = os.environ[name] = f"socks5{value[5:]}"
        if value and not _is_usable(value):
            os.environ[UNUSABLE] = f"{name}={value}"
            del os.environ[name]
    value = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    names = [name for entry in re.split(r"[,\s]+", value) if (name := _plain_entry(entry))]
    if "*" not in names:
        # Libraries read one or the other.
        os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join(dict.fromkeys([*names, *LOOPBACK]))


def require_proxy(url: str) -> None:
    """Raise GraftError where an address would be asked through a proxy that cannot be used: never past it."""
    from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

    unusable, host = os.environ.get(UNUSABLE, ""), urlsplit(url).hostname or ""
    name, _, value = unusable.partition("=")
    kinds = {urlsplit(url).scheme, "all"}
    if not unusable or name.lower().removesuffix("_proxy") not in kinds or proxy_bypass_environment(host):
        return
    own = f"{urlsplit(url).scheme}_proxy"
    if os.environ.get(own) or os.environ.get(own.upper()):
        return  # all_proxy is for other kinds of addresses then
    if value.lower().startswith("socks5"):
        fix = f"Install what reads it, pip install PySocks socksio, or name an http proxy in {own}"
    else:
        fix = f"Have it be an address such as http://proxy.example:3128, or unset {name}"
    raise GraftError(f"{name} is {without_credentials(value)}, a proxy that cannot be used here for {host}", fix)


def proxies_in_words() -> str:
    """Return the proxies that are used, each with its variable, or "none"."""
    named = [name for name in _VARIABLES if os.environ.get(name)]
    return ", ".join(f"{name} {without_credentials(os.environ[name])}" for name in named) or "none"


def _is_usable(value: str) -> bool:
    try:
        parts = urlsplit(value if "://" in value else f"http://{value}")
        is_whole = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    if parts.scheme in ("socks5", "socks5h"):
        return is_whole and all(importlib.util.find_spec(name) for name in ("socks", "socksio"))
    return is_whole and parts.scheme in ("http", "https")


def _plain_entry(entry: str) -> str:
    """Return an entry of NO_PROXY as all libraries take it; ``""`` where none knows its form (a range of IPv6)."""
    entry = re.sub(r"^\[([0-9A-Fa-f:.]+)\](:\d+|:\*)?$", r"\1", entry).removesuffix(":*")
    if entry.startswith("[") or (entry.count(":") > 1 and "://" not in entry):
        try:
            return str(ipaddress.IPv6Address(entry))
        except ValueError:
            return ""
    return entry
