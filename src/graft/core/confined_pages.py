"""Confine the pages of MLflow's and Prefect's servers to these servers.

Prefect's pages ask a company that counts visitors for its settings as soon as they are opened, whatever
``PREFECT_SERVER_ANALYTICS_ENABLED`` says. Browsers obey the policy that a page comes with
(https://www.w3.org/TR/CSP3/), so that nothing leaves the machine through them either.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

# Scripts and styles in the page and workers made by it are allowed: both pages are built so.
OWN_SERVER = b"default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:"


def confined(app: App) -> App:
    """Return an ASGI app whose pages may ask for nothing but what their own server has."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        async def with_policy(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                headers = [*message.get("headers", []), (b"content-security-policy", OWN_SERVER)]
                message = {**message, "headers": headers}
            await send(message)

        await app(scope, receive, with_policy if scope["type"] == "http" else send)

    return answer
