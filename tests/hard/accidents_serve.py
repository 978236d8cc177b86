"""`graft serve` with requests under way: a fault in what it writes must not be one in what it answers."""

import io
import json
import os
import socket
import time
from pathlib import Path
from typing import Any

from accidents import Kind, load
from small_models import make_trained, photographs_of

from graft.core.project import Project

REQUESTS = 24
SECONDS = 60.0


class Serve(Kind):
    """The prediction log is on, and keeps the images: the one thing that a server writes."""

    def prepare(self) -> None:
        """Import what the server imports."""
        load("openvino", "pandas", "imagehash", "scipy.fftpack", "uvicorn", "graft.deployment.server.server")
        load("graft.networks.engines.open_classifier", "graft.cli.main", "graft.cli.serve", "graft.registry.resolve")

    def make(self, root: Path) -> None:
        """A trained model, and photographs to ask about."""
        project = make_trained(root)
        photographs_of(root / "photographs", REQUESTS)
        text = project.params_file.read_text(encoding="utf-8").replace("keep_images: false", "keep_images: true")
        project.params_file.write_text(text, encoding="utf-8")
        self.act(root, 0)  # a log that must stay readable

    def before(self, root: Path, draw: int) -> Any:
        """How many rows the log has."""
        return len(logged(root))

    def act(self, root: Path, draw: int) -> None:
        """A server in this process, and in a fork of it somebody who asks, and ends it."""
        os.chdir(root)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        asking = os.fork()
        if asking == 0:
            try:
                os._exit(_ask(root, port))
            except BaseException as error:
                print(f"asking: {error!r}", flush=True)
                os._exit(2)
        import sys

        from graft.cli.main import main

        sys.argv = ["graft", "serve", "--port", str(port), "--no-token", "--log", "--model", "model"]
        try:
            main()
        except SystemExit as end:
            assert not end.code, f"the server ended with {end.code}"
        finally:
            _, status = os.waitpid(asking, 0)
        assert os.waitstatus_to_exitcode(status) == 0, "not all requests were answered"

    def meanwhile(self, root: Path, draw: int) -> None:
        """The log is read while its writer is stopped."""
        assert len(logged(root)) >= REQUESTS

    def check_after(self, root: Path, draw: int, before: Any) -> None:
        """Rows that were in the log are in it."""
        assert len(logged(root)) >= before, "logged predictions are gone"

    def following(self, root: Path, draw: int) -> None:
        """Another server over the same log."""
        self.act(root, draw)

    def check_end(self, root: Path, draw: int, before: Any) -> None:
        """It has logged all that it was asked."""
        assert len(logged(root)) >= before + REQUESTS, "the server after it does not log"


def logged(root: Path) -> list[str]:
    """The photographs in the log, by their hash."""
    from graft.core.params.monitor_params import LogParams
    from graft.deployment.monitor.prediction_log import PredictionLog

    with PredictionLog(Project(root).prediction_log, LogParams(enabled=True)) as log:
        return [one.image.sha256 for one in log.read()]


def _ask(root: Path, port: int) -> int:
    """Ask about each photograph; 0 where all were answered. A server that is stopped or killed is waited for."""
    import signal

    answered, deadline = 0, time.monotonic() + SECONDS
    photographs = sorted((root / "photographs").glob("*.png"))
    while not _get(port, b"GET /ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").startswith(
        b"HTTP/1.1 200"
    ):
        if time.monotonic() > deadline:
            print("asking: the server did not become ready", flush=True)
            return 1
        time.sleep(0.05)
    for photograph in photographs:
        data = photograph.read_bytes()
        head = "POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\nConnection: close\r\n"
        answer = _get(port, f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
        if answer.startswith(b"HTTP/1.1 200"):
            body = json.loads(answer.partition(b"\r\n\r\n")[2])
            answered += len(body["predictions"])
        else:
            print(f"asking: {answer[:200]!r}", flush=True)
    os.kill(os.getppid(), signal.SIGTERM)
    return 0 if answered == len(photographs) else 1


def _get(port: int, request: bytes) -> bytes:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as connection:
            connection.sendall(request)
            answer = io.BytesIO()
            while part := connection.recv(65536):
                answer.write(part)
            return answer.getvalue()
    except OSError:
        return b""


KIND = Serve()
