"""Choose which package index is asked, and which certificates are trusted, as pip's settings say."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING

from graft.core.download.pip_settings import pip_settings
from graft.core.download.redirects import new_session

if TYPE_CHECKING:
    import requests

_VARIABLES = ("PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL")


@cache
def _pip_settings() -> dict[str, str]:
    return pip_settings()


def index_session() -> requests.Session:
    """Return a session that trusts what pip trusts; REQUESTS_CA_BUNDLE wins, as everywhere in requests."""
    session = new_session()
    session.verify = os.environ.get("PIP_CERT") or _pip_settings().get("cert") or True
    session.cert = os.environ.get("PIP_CLIENT_CERT") or _pip_settings().get("client-cert")
    return session


def index_address() -> str:
    """Return the address of the package index that the environment or pip's files name, else of the public one."""
    from pypi_simple import PYPI_SIMPLE_ENDPOINT

    for variable in _VARIABLES:
        if value := os.environ.get(variable, "").strip():
            name, separator, address = value.partition("=")  # uv also takes name=address
            return address if separator and "/" not in name else value
    return _pip_settings().get("index-url", PYPI_SIMPLE_ENDPOINT)
