"""Set up proxies in the environment: none for this machine itself, and a clear error for those that cannot be used.

httpx, through which flows speak to Prefect, fails before it asks anything where one proxy is of a kind that it does not
know, or an entry of NO_PROXY is of a form that it does not know; also where neither has to do with what it asks.
"""

import contextlib
import importlib.util
import ipaddress
import os
import re
from urllib.parse import urlsplit

from graft.core.credentials import without_credentials
from graft.core.errors import GraftError

# What goes from this machine to itself would be lost in a proxy, which stands between it and others.
LOOPBACK = ("127.0.0.1", "localhost", "::1")
# Names and values of the proxies that were taken out of the environment, a line each.
UNUSABLE = "GRAFT_UNUSABLE_PROXY"
# Servers that are often named by their numbers, and asked through clients that do not know ranges of them.
_SERVERS = ("PREFECT_API_URL", "MLFLOW_TRACKING_URI", "AWS_ENDPOINT_URL", "MLFLOW_S3_ENDPOINT_URL")
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
            os.environ[UNUSABLE] = f"{os.environ.get(UNUSABLE, '')}\n{name}={value}".strip()
            del os.environ[name]
    value = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    names = [name for entry in re.split(r"[,\s]+", value) if (name := _plain_entry(entry))]
    for url in filter(None, map(os.environ.get, _SERVERS)):
        names += _in_ranges(url, names)
    # Libraries read one or the other, and some know "*" only where it stands alone.
    stated = "*" if "*" in names else ",".join(dict.fromkeys([*names, *LOOPBACK]))
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = stated


def require_proxy(url: str) -> None:
    """Raise GraftError where an address would be asked through a proxy that cannot be used: never past it."""
    from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

    host, own = urlsplit(url).hostname or "", f"{urlsplit(url).scheme}_proxy"
    unusable = dict(line.split("=", 1) for line in os.environ.get(UNUSABLE, "").splitlines() if "=" in line)
    names = [name for kind in (own, "all_proxy") for name in unusable if name.lower() == kind]
    if not names or proxy_bypass_environment(host):
        return
    if os.environ.get(own) or os.environ.get(own.upper()):
        return  # all_proxy is for other kinds of addresses then
    name, value = names[0], unusable[names[0]]
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
    """Return an entry of NO_PROXY as all libraries take it; ``""`` where none knows its form (a range of IPv6).

    The dot that ends a whole name is left out, since addresses are written without it.
    """
    entry = re.sub(r"^\[([0-9A-Fa-f:.]+)\](:\d+|:\*)?$", r"\1", entry).removesuffix(":*").rstrip(".")
    if entry.startswith("[") or (entry.count(":") > 1 and "://" not in entry):
        try:
            return str(ipaddress.IPv6Address(entry))
        except ValueError:
            return ""
    return entry


def _in_ranges(url: str, entries: list[str]) -> list[str]:
    """Return the host of an address, in a list, where it is a number in one of the ranges among ``entries``."""
    with contextlib.suppress(ValueError):  # an address without a number for its host
        host = ipaddress.IPv4Address(urlsplit(url).hostname or "")
        for entry in entries:
            with contextlib.suppress(ValueError):
                if "/" in entry and host in ipaddress.IPv4Network(entry, strict=False):
                    return [str(host)]
    return []
