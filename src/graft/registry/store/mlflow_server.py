"""MLflow's server for `graft ui`, which lets in nobody but who knows its password, and no page of another origin.

MLflow's own server takes requests from every account on the machine, and from every page that came from a port of
loopback. This one asks for a password by HTTP Basic, which browsers remember by host and port; a cookie they would
also send to the servers of other accounts, on other ports of this machine.
"""

import base64
import hmac
import os
import subprocess
import sys
from importlib.metadata import entry_points
from urllib.parse import urlsplit, urlunsplit

import psutil

from graft.core.confined_pages import App, Receive, Scope, Send, confined
from graft.core.errors import GraftError
from graft.core.loopback import HOST
from graft.core.project import Project

USER = "graft"
OPEN = "/open"  # the way in for the browser: its address holds the password, and the one it leads to does not
# The address that it leads to is absolute, so that the password does not stay in it: pages could then load nothing.
# MLflow 3.17 opens with an assistant that takes a third of the window from the runs, and covers its registry with a
# picture of what is new there; a browser that has seen both once has these marks.
_WAY_IN = b"""<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>MLflow</title><script>
for (const mark of ["mlflow.assistant.fab.autoOpenedOnFirstLoad_v1", "_mlflow_model_registry_promo_modal_dismissed_v1"])
  localStorage.getItem(mark) ?? localStorage.setItem(mark, "true");
location.replace(`http://${location.host}/${location.search}${location.hash}`);
</script><a href="/">MLflow</a></html>
"""
_PASSWORD = "GRAFT_MLFLOW_PASSWORD"
_APP = "graft"  # its name among MLflow's server plugins, in pyproject.toml


def start_mlflow(project: Project, port: int, password: str) -> psutil.Popen:
    """Start MLflow's server for a project's store, without waiting for it.

    Raises:
        GraftError: graft's installation does not offer MLflow the app.
    """
    if not entry_points(group="mlflow.app", name=_APP):
        raise GraftError(
            "graft was installed before MLflow's pages had a password",
            "Install it again: make setup in a checkout of graft, else pip install --force-reinstall graft",
        )
    where = ["--host", HOST, "--port", str(port), "--workers", "1", "--app-name", _APP]
    files = ["--default-artifact-root", project.mlflow_artifacts.as_uri()]
    # Not on the command line, which every account of the machine can see.
    passwords = {"MLFLOW_BACKEND_STORE_URI": project.tracking_uri, _PASSWORD: password}
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", **passwords}
    project.mlflow_log.parent.mkdir(parents=True, exist_ok=True)
    with project.mlflow_log.open("wb") as log:
        return psutil.Popen(
            [sys.executable, "-m", "mlflow", "server", *where, *files],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )


def open_address(page: str, password: str) -> str:
    """Return the address that leads a browser to a page of the server, password included."""
    parts = urlsplit(page)
    return urlunsplit((parts.scheme, f"{USER}:{password}@{parts.netloc}", OPEN, parts.query, parts.fragment))


def create_app() -> App:
    """Return MLflow's app behind the password; MLflow's server calls this."""
    from mlflow.server.fastapi_app import app

    return owner_only(confined(app), os.environ[_PASSWORD])


def owner_only(app: App, password: str) -> App:
    """Return an ASGI app that answers 403 to pages of other origins and 401 to whoever lacks the password."""
    expected = b"Basic " + base64.b64encode(f"{USER}:{password}".encode())

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})  # MLflow has no websockets
            return
        headers = dict(scope["headers"])
        if is_foreign(headers, scope["method"]):
            await _answer(send, 403, {}, b"This is a request of another origin.\n")
        elif not hmac.compare_digest(headers.get(b"authorization", b""), expected):
            challenge = {b"www-authenticate": b'Basic realm="graft", charset="UTF-8"'}
            await _answer(send, 401, challenge, b"`graft ui` says the address with the password.\n")
        elif scope["path"] == OPEN:
            await _answer(send, 200, {b"content-type": b"text/html; charset=utf-8"}, _WAY_IN)
        else:
            await app(scope, receive, send)

    return guarded


def is_foreign(headers: dict[bytes, bytes], method: str) -> bool:
    """Return whether a request was made by a page of another origin; a link that somebody follows was not."""
    origin = headers.get(b"origin")
    if origin is not None and origin != b"http://" + headers.get(b"host", b""):
        return True
    if headers.get(b"sec-fetch-site", b"none") in (b"same-origin", b"none"):
        return False
    opens_a_page = headers.get(b"sec-fetch-mode") == b"navigate" and headers.get(b"sec-fetch-dest") == b"document"
    return not (opens_a_page and method in ("GET", "HEAD"))


async def _answer(send: Send, status: int, headers: dict[bytes, bytes], body: bytes) -> None:
    every = {b"content-type": b"text/plain; charset=utf-8", b"cache-control": b"no-store", **headers}
    every[b"content-length"] = str(len(body)).encode()
    await send({"type": "http.response.start", "status": status, "headers": list(every.items())})
    await send({"type": "http.response.body", "body": body})
