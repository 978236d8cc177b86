"""What a peer leaves unfinished ends; what is no HTTP is refused as JSON."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn
from running import HOST, Answer, head, read_answer

from graft.serving import connections
from graft.serving.connections import PatientProtocol

PATIENCE = 0.3


async def refuse_unread(scope: Any, receive: Any, send: Any) -> None:
    """An application that reads no body."""
    headers = [(b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": b"no"})


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(connections, "PATIENCE_SECONDS", PATIENCE)
    config = uvicorn.Config(
        refuse_unread, http=PatientProtocol, lifespan="off", log_config=None, timeout_keep_alive=60
    )
    server = uvicorn.Server(config)
    with socket.create_server((HOST, 0)) as listener:
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        yield listener.getsockname()[1]
        server.should_exit = True
        thread.join(timeout=10)


def until_closed(connection: socket.socket, dripping: bytes = b"") -> Answer:
    """The first answer, while ``dripping`` is sent over and over; ends when the server closes."""
    answer = None
    deadline = time.monotonic() + 10
    connection.settimeout(0.05)
    received = b""
    while time.monotonic() < deadline:
        try:
            connection.sendall(dripping)
            part = connection.recv(65536)
        except TimeoutError:
            continue
        except OSError:
            break
        if not part:
            break
        received += part
    else:
        raise AssertionError("the connection stays open")
    if received:
        top, _, body = received.partition(b"\r\n\r\n")
        answer = Answer(int(top.split()[1]), {}, body)
    return answer or Answer(0, {}, b"")


@pytest.mark.parametrize("dripping", [b"", b"a: b\r\n"], ids=["silent", "slow"])
def test_a_head_must_arrive_in_time(port: int, dripping: bytes) -> None:
    with socket.create_connection((HOST, port)) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n")
        answer = until_closed(connection, dripping)
    # The peer of a slow head is told, unless its next bytes were faster than the answer.
    assert answer.status in ((408,) if not dripping else (408, 0))


def test_a_connection_without_a_request_is_closed(port: int) -> None:
    with socket.create_connection((HOST, port)) as connection:
        assert until_closed(connection).status == 0


def test_the_rest_of_a_refused_body_is_heard_out_but_not_without_end(port: int) -> None:
    with socket.create_connection((HOST, port)) as connection:
        connection.sendall(head("POST", "/", content_length=10**9))
        assert until_closed(connection, dripping=b"x" * 1000).status == 413


def test_a_connection_goes_on_after_a_refused_body_that_arrives(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "PATIENCE_SECONDS", 3)
    with socket.create_connection((HOST, port)) as connection:
        for _ in range(3):
            connection.sendall(head("POST", "/", content_length=5) + b"12")
            assert read_answer(connection).status == 413
            connection.sendall(b"345")
            time.sleep(1.1)  # together longer than its patience, each time much shorter


@pytest.mark.parametrize(
    ("request_", "status", "reason"),
    [
        (b"nonsense\r\n\r\n", 400, "illegal request line"),
        (b"GET / HTTP/1.1\r\n\r\n", 400, "Missing mandatory Host"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 400, "Transfer-Encoding: chunked"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nb: " + b"c" * 300_000, 431, "Receive buffer too long"),
    ],
)
def test_what_is_no_http_is_refused_with_a_reason(
    port: int, request_: bytes, status: int, reason: str
) -> None:
    with socket.create_connection((HOST, port)) as connection:
        connection.sendall(request_)
        answer = read_answer(connection)
    assert (answer.status, answer.headers["content-type"]) == (status, "application/json")
    assert reason in answer.reason
