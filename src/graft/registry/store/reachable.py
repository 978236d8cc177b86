"""Find out in seconds whether MLflow's server or database is there, before MLflow itself is imported.

MLflow's own patience is made for jobs that nobody waits for: seven retries of a server, which take four minutes, and
ten of a database.
"""

import os
import socket
import time
from urllib.parse import urlsplit

from graft.core.errors import GraftError, first_line
from graft.core.proxies import require_proxy

# Seconds for a connection, and for the first answer; a server of many users may take a while to wake up.
CONNECT_SECONDS, ANSWER_SECONDS = 5.0, 10.0
_FIX = "Check that it runs and can be reached from here, and MLFLOW_TRACKING_URI"
_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}


def require_answer(uri: str) -> None:
    """Return once whatever is behind MLflow's address answers.

    A server that refuses is asked again after a second, since it may just be restarting. The environment's
    ``MLFLOW_HTTP_REQUEST_TIMEOUT`` and ``PGCONNECT_TIMEOUT`` win where they are set. Files, SQLite and Databricks are
    not asked.

    Args:
        uri: as in ``MLFLOW_TRACKING_URI``.

    Raises:
        GraftError: nothing answers there, or a database does not let us in.
    """
    scheme = urlsplit(uri).scheme.split("+")[0]
    try:
        if scheme in ("http", "https"):
            _ask_server(uri)
        elif scheme in _PORTS:
            _ask_database(uri, _PORTS[scheme])
    except GraftError:
        raise
    except Exception as error:
        # Sockets and database drivers raise each their own.
        raise GraftError(f"MLflow's database {uri} does not answer: {first_line(error)}", _FIX) from error


def _ask_server(uri: str) -> None:
    import requests

    require_proxy(uri)
    limit = float(os.environ.get("MLFLOW_HTTP_REQUEST_TIMEOUT", ANSWER_SECONDS))
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
