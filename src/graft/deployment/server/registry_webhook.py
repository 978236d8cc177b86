"""Let MLflow's server notify this one of a new champion, by a webhook whose signature is checked.

MLflow signs ``<delivery id>.<timestamp>.<body>`` by HMAC-SHA256 with the webhook's secret, and sends no token
(``mlflow.webhooks.delivery``, after https://www.standardwebhooks.com). What it says is not relied on: the registry is
asked, at once instead of at the next poll.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Mapping

from fastapi import FastAPI, Request
from fastapi.responses import Response

from graft.deployment.server.bodies import RefusedError
from graft.deployment.server.middleware import WEBHOOK
from graft.deployment.server.watch_champion import Champion

# As long as Standard Webhooks let a signature live; MLflow makes it just before it sends.
_SECONDS = 300
_MOST_BYTES = 65_536  # MLflow sends a few hundred


def add_webhook(app: FastAPI, champion: Champion, secret: str) -> None:
    """Add the endpoint that MLflow's webhooks call.

    Args:
        champion: looks at the registry then.
        secret: of the webhook.
    """

    @app.post(WEBHOOK, status_code=204, include_in_schema=False)
    async def called(request: Request) -> Response:
        body = b""
        async for piece in request.stream():
            body += piece
            if len(body) > _MOST_BYTES:
                raise RefusedError(413, f"A webhook's body has at most {_MOST_BYTES} bytes.")
        if not is_signed(request.headers, body, secret, time.time()):
            raise RefusedError(401, "The signature is missing, wrong or old.")
        champion.wake()
        return Response(status_code=204)


def is_signed(headers: Mapping[str, str], body: bytes, secret: str, now: float) -> bool:
    """Return whether MLflow signed a body with the secret, within five minutes of ``now`` (seconds since 1970)."""
    moment = headers.get("x-mlflow-timestamp", "")
    if not moment.isascii() or not moment.isdecimal() or abs(now - int(moment)) > _SECONDS:
        return False
    signed = f"{headers.get('x-mlflow-delivery-id', '')}.{moment}.".encode() + body
    expected = "v1," + base64.b64encode(hmac.new(secret.encode(), signed, hashlib.sha256).digest()).decode()
    return hmac.compare_digest(headers.get("x-mlflow-signature", "").encode(), expected.encode())
