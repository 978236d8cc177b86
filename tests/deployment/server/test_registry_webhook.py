"""MLflow's webhooks: what it signs wakes the server, and nothing else does."""

import asyncio
import time
from types import SimpleNamespace

import httpx
import pytest
from fastapi import FastAPI
from starlette.datastructures import Headers

from graft.deployment.server.bodies import RefusedError
from graft.deployment.server.middleware import OPEN_PATHS, WEBHOOK
from graft.deployment.server.registry_webhook import add_webhook, is_signed

SECRET = "of the webhook"
BODY = b'{"entity": "model_version_alias", "data": {"alias": "champion", "version": "2"}}'


def signed(body: bytes = BODY, secret: str = SECRET, moment: float | None = None) -> dict[str, str]:
    """Headers as MLflow's own code makes them."""
    from mlflow.webhooks.constants import WEBHOOK_DELIVERY_ID_HEADER, WEBHOOK_SIGNATURE_HEADER, WEBHOOK_TIMESTAMP_HEADER
    from mlflow.webhooks.delivery import _generate_hmac_signature

    stamp = str(int(time.time() if moment is None else moment))
    signature = _generate_hmac_signature(secret, "d-1", stamp, body.decode())
    return {WEBHOOK_DELIVERY_ID_HEADER: "d-1", WEBHOOK_TIMESTAMP_HEADER: stamp, WEBHOOK_SIGNATURE_HEADER: signature}


def test_what_mlflow_signs_is_taken_for_five_minutes() -> None:
    now = time.time()
    assert is_signed(Headers(signed()), BODY, SECRET, now)
    assert is_signed(Headers(signed(moment=now - 290)), BODY, SECRET, now)
    for headers, body in (
        (signed(moment=now - 310), BODY),
        (signed(moment=now + 310), BODY),
        (signed(secret="another"), BODY),
        (signed(), BODY + b" "),
        ({**signed(), "X-MLflow-Delivery-Id": "d-2"}, BODY),
        ({**signed(), "X-MLflow-Timestamp": "\u00b2"}, BODY),
        ({}, BODY),
    ):
        assert not is_signed(Headers(headers), body, SECRET, now)


@pytest.mark.parametrize(
    ("secret", "body", "status", "woken"),
    [(SECRET, BODY, 204, 1), ("another", BODY, 401, 0), (SECRET, b"x" * 70_000, 413, 0)],
)
def test_the_endpoint_wakes_the_champion(secret: str, body: bytes, status: int, woken: int) -> None:
    calls: list[int] = []
    app = FastAPI()
    add_webhook(app, SimpleNamespace(wake=lambda: calls.append(1)), SECRET)  # type: ignore[arg-type]

    @app.exception_handler(RefusedError)
    async def refused(request: object, error: RefusedError) -> object:
        from fastapi.responses import Response

        return Response(status_code=error.status)

    async def post() -> int:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return (await client.post(WEBHOOK, content=body, headers=signed(secret=secret))).status_code

    assert asyncio.run(post()) == status
    assert len(calls) == woken
    assert WEBHOOK in OPEN_PATHS, "a webhook has no token"
