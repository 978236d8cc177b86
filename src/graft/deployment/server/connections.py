"""Connections: as uvicorn has them, but limited in number and in what a peer may leave unfinished."""

import asyncio
import json
import sys
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

# Open at a time; each may hold 80 KB in buffers.
MAX_CONNECTIONS = 512
# Of the files that the process may have open: the others are for those that are just accepted or refused, for the
# model, the registry and the log.
CONNECTIONS_SHARE = 0.5
# For a request's head, and for the rest of a body that was refused before it had arrived.
PATIENCE_SECONDS = 10.0
# For an answer to be taken, from when the system's own buffers are full (2 MB and more on loopback).
WRITE_SECONDS = 30.0
# The same once the server ends.
END_SECONDS = 1.0


def connection_limit() -> int:
    """Return how many connections this process may have open at a time, by its limit of open files."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return MAX_CONNECTIONS
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return max(1, min(MAX_CONNECTIONS, int(CONNECTIONS_SHARE * files)))


class PatientProtocol(H11Protocol):
    """HTTP/1.1 by h11, which bounds a head that has not arrived whole (uvicorn's faster parser does not).

    uvicorn waits without end for the rest of a head; after an answer it reads what is left of a body, which lets the
    peer see the answer, but without end too; and it waits without end for a peer that does not read. Here each has its
    limit. uvicorn's ``limit_concurrency`` limits requests, and leaves connections without one open; here the number of
    connections is limited. Where one more comes, the one that has been without a request for the longest is closed, so
    that peers which say nothing shut nobody out.
    """

    _deadline: asyncio.TimerHandle | None = None
    _write_deadline: asyncio.TimerHandle | None = None
    _is_ending = False
    _idle_since = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # Zero: told as soon as the system takes no more of an answer.
        transport.set_write_buffer_limits(high=0)
        self._idle_since = self.loop.time()
        if len(self.connections) > connection_limit():
            self._make_room()
        self._watch()

    def _make_room(self) -> None:
        idle = [
            one for one in self.connections if isinstance(one, PatientProtocol) and one is not self and one._is_idle()
        ]
        if idle:
            longest = min(idle, key=lambda one: one._idle_since)
            # At once, for what it has not read too; uvicorn learns of it a turn of the loop later.
            self.connections.discard(longest)
            longest.transport.abort()
        else:
            self.connections.discard(self)
            self._refuse(503, f"{len(self.connections)} requests are under way already. Try again.")

    def _is_idle(self) -> bool:
        """Return whether no request is under way: none has begun, or the last is answered."""
        return self.cycle is None or self.cycle.response_complete

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        self._idle_since = self.loop.time()
        super().on_response_complete()
        self._watch()

    def pause_writing(self) -> None:
        """Set the deadline for a peer that does not take its answer."""
        super().pause_writing()
        seconds = END_SECONDS if self._is_ending else WRITE_SECONDS
        self._write_deadline = self.loop.call_later(seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """Lift the deadline: the peer has taken all of its answer."""
        super().resume_writing()
        self._end_write_deadline()

    def shutdown(self) -> None:
        """Shut down: a request under way is answered, but nobody is waited for who does not read."""
        self._is_ending = True
        super().shutdown()
        if self._write_deadline is not None:
            self._end_write_deadline()
            self._write_deadline = self.loop.call_later(END_SECONDS, self.transport.abort)

    def _end_write_deadline(self) -> None:
        if self._write_deadline is not None:
            self._write_deadline.cancel()
            self._write_deadline = None

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._end_write_deadline()
        if self._deadline is not None:
            self._deadline.cancel()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP; uvicorn calls this while it handles h11's error, which knows the status."""
        error = sys.exception()
        hint = error.error_status_hint if isinstance(error, h11.RemoteProtocolError) else 400
        # Its 501, for an unknown transfer coding, would blame the server for what the peer sent.
        status = hint if hint < 500 else 400
        what = str(error or msg).partition(": bytearray")[0]  # the bytes themselves, as Python writes them
        self._refuse(status, f"This is no HTTP request that can be read: {what}.")

    def _watch(self) -> None:
        """Set the deadline where the peer owes something, and lift it where not."""
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
