"""Check every request before it reaches an endpoint: the size of its head, the host's name, the token."""

import time
from collections.abc import Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from graft.deployment.server.access import Access
from graft.deployment.server.server_metrics import Metrics

PATHS = frozenset({"/", "/predict", "/explain", "/model", "/health", "/ready", "/metrics", "/openapi.json"})
# Of the Open Inference Protocol, counted together: their paths have names of models in them.
PROTOCOL = "/v2"
WEBHOOK = "/mlflow-webhook"  # of MLflow's server, which signs what it sends
# The page holds nothing and asks for the token itself; probes of a supervisor have none, and learn yes or no.
OPEN_PATHS = frozenset({"/", WEBHOOK, "/health", "/ready", f"{PROTOCOL}/health/live", f"{PROTOCOL}/health/ready"})
# What browsers send is a tenth of it; h11 itself bounds only what has not arrived whole.
MAX_HEAD_BYTES = 16_384
# Nothing here may be taken for another type, shown in a frame or kept by a proxy.
HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


class Gate:
    """The middleware that refuses who may not ask, and counts every answer by path and status."""

    def __init__(self, app: ASGIApp, access: Access, metrics: Metrics, prefix: str = "") -> None:
        self._app = app
        self._access = access
        self._metrics = metrics
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request, as ASGI has it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        if self._prefix and f"{scope['path']}/".startswith(f"{self._prefix}/"):
            # Of a proxy that hands paths on as they are; others take the prefix away themselves.
            scope = {**scope, "path": scope["path"][len(self._prefix) :] or "/"}
        path = scope["path"] if scope["path"] in PATHS else "other"
        if scope["path"].startswith(f"{PROTOCOL}/"):
            path = PROTOCOL
        status = 500

        async def send_counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            app = self._refusal(scope) or self._app
            await app(scope, receive, send_counted)
        finally:
            self._metrics.request(path, status, time.perf_counter() - started)

    def _refusal(self, scope: Scope) -> ASGIApp | None:
        headers = Headers(scope=scope)
        if scope["http_version"] not in ("1.0", "1.1"):
            return _refuse(400, f"HTTP/{scope['http_version']} is not spoken here. Use HTTP/1.1.")
        target = len(scope["raw_path"]) + len(scope["query_string"])
        if target + sum(len(name) + len(value) for name, value in headers.raw) > MAX_HEAD_BYTES:
            return _refuse(431, f"The head of the request is larger than {MAX_HEAD_BYTES} bytes.")
        if not self._access.knows_host(headers.get("host")):
            return _refuse(400, "Without a token this server answers to localhost alone, not to that Host.")
        is_link = scope["method"] == "GET" and scope["path"] == "/" and "origin" not in headers
        if self._access.is_from_elsewhere(headers) and not is_link:
            return _refuse(403, "Without a token this server answers programs and its own page, not other pages.")
        authorization = headers.get("authorization")
        allowed = self._access.allows(authorization)
        scope.setdefault("state", {})["allowed"] = allowed
        if allowed or scope["path"] in OPEN_PATHS:
            return None
        found = "is not the right one" if authorization else "is missing"
        return _refuse(
            401, f"The token {found}. Send the header Authorization: Bearer <token>.", {"www-authenticate": "Bearer"}
        )


def _refuse(status: int, reason: str, headers: Mapping[str, str] | None = None) -> ASGIApp:
    return JSONResponse({"detail": reason}, status, headers)
