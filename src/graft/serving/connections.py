"""One connection: as uvicorn has it, with an end to what a peer may leave unfinished, and refusals as JSON."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

# For a request's head, and for the rest of a body that was refused before it had arrived.
PATIENCE_SECONDS = 10.0


class PatientProtocol(H11Protocol):
    """HTTP/1.1 by h11, which bounds a head that has not arrived whole (uvicorn's faster parser does not).

    uvicorn waits without end for the rest of a head; and after an answer it reads what is left of a body, which lets
    the peer see the answer, but without end too. Here both end after :data:`PATIENCE_SECONDS`.
    """

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._deadline is not None:
            self._deadline.cancel()

    def send_400_response(self, msg: str) -> None:
        """Answers what is no HTTP; uvicorn calls this while it handles h11's error, which knows the status."""
        error = sys.exception()
        hint = error.error_status_hint if isinstance(error, h11.RemoteProtocolError) else 400
        # Its 501, for an unknown transfer coding, would blame the server for what the peer sent.
        status = hint if hint < 500 else 400
        what = str(error or msg).partition(": bytearray")[0]  # the bytes themselves, as Python writes them
        self._refuse(status, f"This is no HTTP request that can be read: {what}.")

    def _watch(self) -> None:
        """Sets the deadline where the peer owes something, and lifts it where not."""
        owes_head = self.conn.their_state is h11.IDLE
        owes_body = self.conn.our_state is h11.DONE and self.conn.their_state is h11.SEND_BODY
        if owes_head or owes_body:
            if self._deadline is None and not self.transport.is_closing():
                self._deadline = self.loop.call_later(PATIENCE_SECONDS, self._give_up)
        elif self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._deadline = None
        if self.conn.trailing_data[0] and self.conn.their_state is h11.IDLE:
            self._refuse(408, f"The head of the request did not arrive within {PATIENCE_SECONDS:g} s.")
        elif not self.transport.is_closing():
            self.transport.close()

    def _refuse(self, status: int, reason: str) -> None:
        if self.transport.is_closing():
            return
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            body = json.dumps({"detail": reason}).encode("ascii")
            headers = [
                ("content-type", "application/json"),
                ("content-length", str(len(body))),
                ("connection", "close"),
            ]
            events: list[Any] = [
                h11.Response(status_code=status, headers=headers),
                h11.Data(data=body),
                h11.EndOfMessage(),
            ]
            for event in events:
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
