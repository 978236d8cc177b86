"""`graft serve` as a process of its own on loopback, and a client that sends whatever bytes it is given."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graft.automation.prefect_server import HOST, free_port
from graft.core.project import Project

SERVE = "from graft.cli.main import main; main()"
SOURCES = Path(__file__).parents[3] / "src"
LIMIT_SECONDS = 180.0  # of what takes seconds where nothing else runs


@dataclass
class Answer:
    """An answer of the server's: status 0 where it closed the connection without one."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def reason(self) -> str:
        return str(self.json()["detail"])


@dataclass
class Running:
    """A server that runs."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def send(self, *parts: bytes) -> Answer:
        """Sends bytes over a connection of their own, and reads one answer."""
        with socket.create_connection((HOST, self.port), timeout=LIMIT_SECONDS) as connection:
            try:
                for part in parts:
                    connection.sendall(part)
            except (BrokenPipeError, ConnectionResetError):
                pass  # the server may have answered and closed before all was sent
            return read_answer(connection, has_body=not parts[0].startswith(b"HEAD "))

    def get(self, path: str, token: str = "") -> Answer:
        return self.send(head("GET", path, token=token))

    def predict(self, body: bytes, content_type: str = "image/png", token: str = "") -> Answer:
        return self.send(
            head("POST", "/predict", token=token, content_type=content_type, content_length=len(body)), body
        )

    def wait_until(self, path: str, key: str, value: object, limit: float = LIMIT_SECONDS) -> Any:
        """What ``path`` answers once its ``key`` has this value."""
        deadline = time.monotonic() + limit
        while True:
            try:
                found = self.get(path).json()
                if found.get(key) == value:
                    return found
            except (OSError, ValueError):
                found = None
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.end_with_its_stacks()
                raise AssertionError(f"{path} did not come to {key}={value}: {found}\n{self.log.read_text()}")
            time.sleep(0.05)

    def end_with_its_stacks(self) -> None:
        """End a server that hangs; where each of its threads was is the end of its log."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.send_signal(signal.SIGABRT)
            self.process.wait(timeout=30)

    def metric(self, name: str) -> float:
        """The value of the one line of /metrics that begins with ``name``."""
        lines = self.get("/metrics").body.decode().splitlines()
        (value,) = [line.rpartition(" ")[2] for line in lines if line.startswith(name)]
        return float(value)


@contextmanager
def start(project: Project, *options: str, token: str | None = None) -> Iterator[Running]:
    """Starts a server and waits until it is ready; ends it by SIGTERM.

    Args:
        project: whose champion.
        options: of `graft serve`.
        token: that it asks for; ``""`` is the project's own, None none.
    """
    port = free_port()
    log = project.root / f"serve-{port}.log"
    environment = {**os.environ, "PYTHONPATH": str(SOURCES), "PYTHONFAULTHANDLER": "1"}
    for variable in ("GRAFT_TOKEN", "MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        environment.pop(variable, None)
    if token:
        environment["GRAFT_TOKEN"] = token
    access = ["--no-token"] if token is None else []
    command = [sys.executable, "-c", SERVE, "serve", "--port", str(port), *access, *options]
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=project.root, env=environment, stdout=output, stderr=subprocess.STDOUT)
    running = Running(process, port, log)
    try:
        running.wait_until("/ready", "ready", True)
        yield running
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=LIMIT_SECONDS)
        finally:
            process.kill()


def head(method: str, path: str, host: str = "localhost", token: str = "", **headers: object) -> bytes:
    """A request's head; ``content_type`` stands for Content-Type."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}"]
    lines += [f"Authorization: Bearer {token}"] if token else []
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def read_answer(connection: socket.socket, has_body: bool = True) -> Answer:
    """One answer, past any 100 Continue; ends with it even where the connection stays open."""
    stream = connection.makefile("rb")
    try:
        while True:
            line = stream.readline()
            if not line:
                return Answer(0, {}, b"")
            status = int(line.split()[1])
            headers = {}
            while line := stream.readline().strip():
                name, _, value = line.decode("latin-1").partition(":")
                headers[name.lower()] = value.strip()
            if status != 100:
                break
        length = int(headers.get("content-length", 0)) if has_body else 0
        return Answer(status, headers, stream.read(length))
    except ConnectionResetError:
        return Answer(0, {}, b"")
