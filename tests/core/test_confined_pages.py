"""Pages of other people's servers ask for nothing but what their own server has."""

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest

from graft.core.confined_pages import OWN_SERVER, Receive, Scope, Send, confined

POLICY = (b"content-security-policy", OWN_SERVER)


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html")]})
        await send({"type": "http.response.body", "body": b"<p>"})
    else:
        await send({"type": "lifespan.startup.complete"})


async def receive() -> MutableMapping[str, Any]:
    raise AssertionError("nothing is read")


@pytest.mark.parametrize(("kind", "count"), [("http", 2), ("lifespan", 1)])
def test_each_answer_comes_with_the_policy_and_is_the_same_otherwise(kind: str, count: int) -> None:
    sent: list[MutableMapping[str, Any]] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    asyncio.run(confined(app)({"type": kind}, receive, send))
    assert len(sent) == count
    if kind == "http":
        assert sent[0]["headers"] == [(b"content-type", b"text/html"), POLICY]
        assert sent[1] == {"type": "http.response.body", "body": b"<p>"}
