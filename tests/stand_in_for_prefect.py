"""What stands at a port in tests of Prefect's server: python stand_in_for_prefect.py PORT PASSWORD REQUESTS.

It answers as Prefect does to who sends the password, and writes down what it was sent.
"""

import base64
import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil

from graft.automation.prefect_server import HOST, _password, free_port, listens
from graft.core.project import Project

START = "0123456789abcdef"


def start(port: int, password: str, requests: Path) -> psutil.Popen:
    """Start one in a process of its own, and wait until it listens."""
    process = psutil.Popen([sys.executable, __file__, str(port), password, str(requests)])
    deadline = time.monotonic() + 60
    while not listens(process, port):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    return process


class StandIn:
    """A process that listens and answers as the project's server does, its record, and what it was sent."""

    def __init__(self, project: Project, folder: Path) -> None:
        self.project, self.requests, self.port = project, folder / "requests", free_port()
        self.requests.touch()
        self.url = f"http://{HOST}:{self.port}/api"
        self.password = _password(project, START)
        self.process = start(self.port, self.password, self.requests)

    def leave_record(
        self, process: psutil.Process | None = None, age: float = 0, starter_age: float = 0, **more: object
    ) -> None:
        def identity(of: psutil.Process, age: float) -> dict[str, float]:
            return {"pid": of.pid, "created": of.create_time() - age}

        record = {
            "url": self.url,
            "start": START,
            "stays": True,
            "server": identity(process or self.process, age),
            "starter": identity(psutil.Process(), starter_age),
        }
        (self.project.prefect / "server.json").write_text(json.dumps({**record, **more}))


def serve(port: int, password: str, requests: Path) -> None:
    expected = "Basic " + base64.b64encode(password.encode()).decode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with requests.open("a") as log:
                log.write(json.dumps([self.path, dict(self.headers)]) + "\n")
            known = self.headers.get("Authorization") == expected
            body = b'"3.8.8"'
            self.send_response(200 if known and self.path == "/api/admin/version" else 401)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    ThreadingHTTPServer((HOST, port), Handler).serve_forever()


if __name__ == "__main__":
    serve(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
