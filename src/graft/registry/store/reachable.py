"""Find out in seconds whether MLflow's server or database is there, before MLflow itself is imported.

MLflow's own patience is made for jobs that nobody waits for: seven retries of a server, which take four minutes, and
ten of a database.
"""

import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points
from urllib.parse import urlsplit

from graft.core.certificates import OF_REQUESTS, require_certificates
from graft.core.errors import GraftError, first_line
from graft.core.proxies import require_proxy

# Seconds for a connection, and for the first answer; a server of many users may take a while to wake up.
CONNECT_SECONDS, ANSWER_SECONDS = 5.0, 10.0
_TIMEOUT = "MLFLOW_HTTP_REQUEST_TIMEOUT"
_FIX = "Check that it runs and can be reached from here, and MLFLOW_TRACKING_URI"
_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
_SCHEMES = (*_PORTS, "sqlite", "file", "http", "https", "databricks", "databricks-uc", "uc")


def require_answer(uri: str) -> None:
    """Return once whatever is behind MLflow's address answers.

    A server that refuses is asked again after a second, since it may just be restarting. The environment's
    ``MLFLOW_HTTP_REQUEST_TIMEOUT`` and ``PGCONNECT_TIMEOUT`` win where they are set. Files, SQLite and Databricks are
    not asked.

    Args:
        uri: as in ``MLFLOW_TRACKING_URI``.

    Raises:
        GraftError: it is no address, nothing answers there, or a database does not let us in.
    """
    _require_scheme(uri)
    try:
        scheme = urlsplit(uri).scheme.split("+")[0]
        if scheme in ("http", "https"):
            _ask_server(uri)
        elif scheme in _PORTS:
            _ask_database(uri, _PORTS[scheme])
    except GraftError:
        raise
    except Exception as error:
        # Sockets and database drivers raise each their own.
        raise GraftError(f"MLflow's database {uri} does not answer: {first_line(error)}", _FIX) from error


@contextmanager
def no_longer_than(seconds: float, retries: int = 0) -> Iterator[None]:
    """Limit a call of MLflow's over HTTP to so many seconds; by itself it tries again and again for minutes.

    Args:
        seconds: for the connection and for the answer, half of it each.
        retries: after which it is given up; each may take as long.
    """
    limits = {
        _TIMEOUT: f"{seconds / 2:.0f}",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": f"{retries}",
        "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",  # a server may say: in an hour
    }
    before = {name: os.environ.get(name) for name in limits}
    os.environ.update(limits)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def answer_seconds() -> float:
    """Return how long an answer of MLflow's server may take.

    Raises:
        GraftError: the environment's own limit is no number.
    """
    value = os.environ.get(_TIMEOUT, f"{ANSWER_SECONDS:.0f}")
    if not value.isdecimal():
        raise GraftError(f"{_TIMEOUT} is {value!r}", f"Have it be a number of seconds, or unset {_TIMEOUT}")
    return float(value)


def _require_scheme(uri: str) -> None:
    """Raise GraftError for an address of a kind that neither MLflow nor a package installed here knows."""
    scheme, _, rest = uri.partition(":")
    kind = scheme.split("+")[0]
    if not rest or kind in _SCHEMES or uri.startswith("/") or entry_points(group="mlflow.tracking_store", name=kind):
        return
    port = re.fullmatch(r"\d+(/.*)?", rest)
    fix = f"Write http://{uri}" if port else "An address starts with http://, https:// or sqlite:///, for example"
    raise GraftError(f"MLFLOW_TRACKING_URI is {uri}, which is no address of MLflow's", fix)


def _ask_server(uri: str) -> None:
    import requests

    require_proxy(uri)
    require_certificates(uri, OF_REQUESTS)
    limit = answer_seconds()
    for attempt in range(2):
        try:
            # Any answer will do: a proxy in front may know no such page, or want a password first.
            requests.get(f"{uri.rstrip('/')}/health", timeout=(min(limit, CONNECT_SECONDS), limit), stream=True).close()
            return
        except requests.exceptions.SSLError:
            return  # there is a server; MLflow has settings of its own about certificates
        except requests.RequestException as error:
            if attempt or isinstance(error, requests.Timeout):
                reason = (
                    "it took the connection and says nothing"
                    if isinstance(error, requests.ReadTimeout)
                    else "no connection"
                )
                raise GraftError(f"MLflow's server {uri} does not answer: {reason}", _FIX) from None
            time.sleep(1)


def _ask_database(uri: str, port: int) -> None:
    import sqlalchemy
    from sqlalchemy.engine import make_url

    url = make_url(uri)
    if url.host:
        socket.create_connection((url.host, url.port or port), CONNECT_SECONDS).close()
    os.environ.setdefault("PGCONNECT_TIMEOUT", f"{ANSWER_SECONDS:.0f}")
    engine = sqlalchemy.create_engine(uri)
    try:
        engine.connect().close()
    finally:
        engine.dispose()
