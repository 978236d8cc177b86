"""What a peer leaves unfinished ends; what is no HTTP is refused as JSON."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from running import HOST, Answer, head, read_answer

from graft.deployment.server import connections
from graft.deployment.server.connections import MAX_CONNECTIONS, PatientProtocol, connection_limit
from graft.deployment.server.server import Server

PATIENCE = 0.3
LARGE = 30_000_000  # more than the system's buffers take
released = threading.Event()


async def answer(scope: Any, receive: Any, send: Any) -> None:
    """An application that reads no body; what it answers follows from the path."""
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        print("the application ended", flush=True)
        await send({"type": "lifespan.shutdown.complete"})
        return
    if scope["path"] == "/waits":
        while not released.is_set():
            await asyncio.sleep(0.01)
    status, body = (200, b"x" * LARGE) if scope["path"] == "/large" else (413, b"no")
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@contextmanager
def listening(limit: int | None = None) -> Iterator[tuple[int, Server]]:
    """A server in a thread: its port, and itself."""
    server = Server(
        uvicorn.Config(answer, http=PatientProtocol, lifespan="off", log_config=None, timeout_keep_alive=60)
    )
    with socket.create_server((HOST, 0)) as listener, pytest.MonkeyPatch.context() as patch:
        if limit is not None:
            patch.setattr(connections, "connection_limit", lambda: limit)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield listener.getsockname()[1], server
        finally:
            released.set()
            server.should_exit = True
            thread.join(timeout=30)
            released.clear()


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(connections, "PATIENCE_SECONDS", PATIENCE)
    with listening() as (port, _):
        yield port


def connect(port: int, request: bytes = b"") -> socket.socket:
    connection = socket.socket()
    # So that the system takes little of an answer that is not read.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(60)
    connection.connect((HOST, port))
    connection.sendall(request)
    return connection


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


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


def test_a_connection_goes_on_after_a_refused_body_that_arrives(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_what_is_no_http_is_refused_with_a_reason(port: int, request_: bytes, status: int, reason: str) -> None:
    with socket.create_connection((HOST, port)) as connection:
        connection.sendall(request_)
        answer = read_answer(connection)
    assert (answer.status, answer.headers["content-type"]) == (status, "application/json")
    assert reason in answer.reason


def test_a6_the_connection_that_is_silent_for_longest_makes_room() -> None:
    with listening(limit=3) as (port, server), ExitStack() as opened:
        first, second, third = (opened.enter_context(connect(port)) for _ in range(3))
        wait_for(lambda: len(server.server_state.connections) == 3)
        second.sendall(head("GET", "/"))
        assert read_answer(second).status == 413
        fourth = opened.enter_context(connect(port, head("GET", "/")))
        assert read_answer(fourth).status == 413
        assert first.recv(1) == b""
        fifth = opened.enter_context(connect(port, head("GET", "/")))
        assert read_answer(fifth).status == 413
        assert third.recv(1) == b""
        second.sendall(head("GET", "/"))
        assert read_answer(second).status == 413


def test_a6_a_request_under_way_is_never_closed_for_room() -> None:
    with listening(limit=2) as (port, server), ExitStack() as opened:
        waiting = [opened.enter_context(connect(port, head("GET", "/waits"))) for _ in range(2)]
        wait_for(lambda: len(server.server_state.tasks) == 2)
        refused = read_answer(opened.enter_context(connect(port, head("GET", "/"))))
        assert (refused.status, refused.reason) == (503, "2 requests are under way already. Try again.")
        released.set()
        assert [read_answer(one).status for one in waiting] == [413, 413]


def test_a6_a_peer_that_does_not_read_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "WRITE_SECONDS", 0.3)
    with listening() as (port, server), connect(port, head("GET", "/large")) as silent:
        wait_for(lambda: bool(server.server_state.tasks or server.server_state.connections))
        wait_for(lambda: not server.server_state.connections)
        received = 0
        with suppress(ConnectionResetError):
            while data := silent.recv(1_000_000):
                received += len(data)
        assert received < LARGE


def test_a6_a_peer_that_reads_slowly_gets_everything() -> None:
    with listening() as (port, _), connect(port, head("GET", "/large")) as connection:
        time.sleep(0.5)
        assert len(read_answer(connection).body) == LARGE


SERVE = """
import sys
sys.path.insert(0, sys.argv[1])
import logging, socket, uvicorn
from test_connections import PatientProtocol, Server, answer
logging.basicConfig(level=logging.WARNING)
with socket.create_server(("127.0.0.1", 0)) as listener:
    print(listener.getsockname()[1], flush=True)
    Server(uvicorn.Config(answer, http=PatientProtocol, log_config=None, timeout_graceful_shutdown=600)).run([listener])
"""


@contextmanager
def process(tmp_path: Path, files: int) -> Iterator[tuple[subprocess.Popen[bytes], int, Path]]:
    """The same as a process that may have so many files open: it, its port, and what it prints."""
    log = tmp_path / "log"
    command = ["sh", "-c", f'ulimit -n {files}; exec "$@"', "sh", sys.executable, "-c", SERVE]
    with log.open("wb") as output:
        server = subprocess.Popen([*command, str(Path(__file__).parent)], stdout=output, stderr=output)
    try:
        wait_for(lambda: log.read_bytes().endswith(b"\n") or server.poll() is not None)
        yield server, int(log.read_text().splitlines()[0]), log
    finally:
        server.kill()
        server.wait()


needs_limits = pytest.mark.skipif(os.name != "posix", reason="limits of open files are POSIX's")


@pytest.mark.slow
@needs_limits
def test_a6_silent_connections_shut_nobody_out(tmp_path: Path) -> None:
    """More of them than the server may have files open."""
    with process(tmp_path, files=256) as (_, port, log), ExitStack() as opened:
        before = log.read_bytes()
        for _ in range(300):
            opened.enter_context(connect(port))
        for _ in range(3):
            with connect(port, head("GET", "/")) as connection:
                assert read_answer(connection).status == 413
        assert log.read_bytes() == before


@pytest.mark.slow
@needs_limits
def test_a6_nobody_who_does_not_read_is_waited_for_at_the_end(tmp_path: Path) -> None:
    with process(tmp_path, files=256) as (server, port, log), ExitStack() as opened:
        for path in ("/large", "/large", "/", ""):
            connection = opened.enter_context(connect(port, head("GET", path) if path else b""))
            if path:
                assert connection.recv(1)
        server.send_signal(signal.SIGTERM)
        server.wait(timeout=60)
        assert "the application ended" in log.read_text()


@needs_limits
def test_a6_connections_take_at_most_half_of_the_files() -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        for files, limit in ((256, 128), (1000, 500), (min(hard, 1_000_000) if hard > 0 else 4096, MAX_CONNECTIONS)):
            if hard in (resource.RLIM_INFINITY,) or files <= hard:
                resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
                assert connection_limit() == min(limit, files // 2)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
