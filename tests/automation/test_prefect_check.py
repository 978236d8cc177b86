"""A Prefect server that the user has named and that is of no use: found out in seconds, in one sentence."""

import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest

from graft.automation.prefect_check import check_named_server, require_database
from graft.automation.prefect_server import HOST, PASSWORD, free_port
from graft.core.errors import GraftError

Answers = dict[str, tuple[int, object]]


@pytest.fixture(autouse=True)
def no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (PASSWORD, "PREFECT_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def serve() -> Iterator[Callable[[Answers], str]]:
    """Start a server of the given status and content by path; return the address of its API."""
    servers = []

    def start(answers: Answers) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, content = answers.get(self.path.partition("?")[0], (404, {"detail": "Not Found"}))
                body = content.encode() if isinstance(content, str) else json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Retry-After", "3600")
                self.send_header("Location", self.path)
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                self.do_GET()

            def log_message(self, *arguments: object) -> None:
                pass

        servers.append(ThreadingHTTPServer((HOST, 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://{HOST}:{servers[-1].server_address[1]}/api"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def ours() -> str:
    import prefect

    return json.dumps(prefect.__version__)


def test_d2_a_server_that_lets_this_process_in_is_fine(serve: Callable[[Answers], str]) -> None:
    check_named_server(serve({"/api/admin/version": (200, ours()), "/api/flows/filter": (200, [])}))


@pytest.mark.parametrize(
    ("answers", "sentence", "fix"),
    [
        (
            {"/api/admin/version": (401, {"exception_message": "Unauthorized"})},
            f"wants a password or key, and {PASSWORD} is not set",
            "graft schedule env",
        ),
        (
            {"/api/admin/version": (200, ours()), "/api/flows/filter": (401, {})},
            f"wants a password or key, and {PASSWORD} is not set",
            "graft schedule env",
        ),
        ({"/api/admin/version": (200, '"2.20.4"')}, "is of version 2.20.4", "unset PREFECT_API_URL"),
        ({"/api/admin/version": (200, "<html>a router</html>")}, "not as Prefect does", "ends with /api"),
        ({"/api/admin/version": (200, '"a word"')}, "not as Prefect does", "ends with /api"),
        ({}, "not as Prefect does", "ends with /api"),
        ({"/api/admin/version": (500, {})}, "answers with the error 500", "log"),
        ({"/api/admin/version": (302, {})}, "not as Prefect does", "ends with /api"),  # to itself
    ],
)
def test_case_15_a_server_of_no_use_is_said_to_be_one_in_one_sentence(
    serve: Callable[[Answers], str], answers: Answers, sentence: str, fix: str
) -> None:
    url = serve(answers)
    with pytest.raises(GraftError, match=sentence) as refused:
        check_named_server(url)
    assert f"The Prefect server at {url}, which PREFECT_API_URL names," in refused.value.what
    assert fix in refused.value.fix


def test_case_15_a_workspace_of_the_cloud_is_told_of_its_own_settings(
    serve: Callable[[Answers], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the name that Prefect Cloud has, with a stand-in behind it."""
    url = serve({"/api/accounts/1/workspaces/2/flows/filter": (401, {})})
    monkeypatch.setattr("graft.automation.prefect_check._CLOUD", urlsplit(url).netloc)
    monkeypatch.setenv("PREFECT_CLOUD_API_URL", url)
    with pytest.raises(GraftError, match="wants a password or key, and PREFECT_API_KEY is not set"):
        check_named_server(f"{url}/accounts/1/workspaces/2")
    with pytest.raises(GraftError, match="not as Prefect does.*ends with /api/accounts/<id>/workspaces/<id>"):
        check_named_server(url)


@pytest.mark.parametrize(("setting", "value"), [(PASSWORD, "admin:hush"), ("PREFECT_API_KEY", "pnu_hush")])
def test_d2_the_setting_that_was_refused_is_named_and_its_value_is_not(
    serve: Callable[[Answers], str], monkeypatch: pytest.MonkeyPatch, setting: str, value: str
) -> None:
    monkeypatch.setenv(setting, value)
    with pytest.raises(GraftError, match=f"refuses that of {setting}") as refused:
        check_named_server(serve({"/api/admin/version": (401, {})}))
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [f"http://{HOST}:{free_port()}/api", "localhost:4200/api", f"http://admin:hush@{HOST}:{free_port()}/api"],
    ids=["plain", "no scheme", "with a password"],
)
def test_case_15_a_server_that_is_not_there_is_not_waited_for(url: str) -> None:
    with pytest.raises(GraftError, match=r"cannot be reached: .*PREFECT_API_URL") as refused:
        check_named_server(url)
    assert "hush" not in str(refused.value)
    assert ".log" not in str(refused.value)


def test_d2_a_server_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graft.automation.prefect_check.ANSWER_SECONDS", 0.2)
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        listener.listen()
        with pytest.raises(GraftError, match="does not answer in time"):
            check_named_server(f"http://{HOST}:{listener.getsockname()[1]}/api")


@pytest.mark.parametrize("status", [429, 503])
def test_case_15_a_server_that_says_to_come_again_in_an_hour_is_not_waited_for(
    serve: Callable[[Answers], str], monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setattr("graft.automation.prefect_check.CHECK_SECONDS", 0.5)
    with pytest.raises(GraftError, match="does not answer in time"):
        check_named_server(serve({"/api/admin/version": (status, {})}))


@pytest.mark.parametrize("name", ["PREFECT_SERVER_DATABASE_CONNECTION_URL", "PREFECT_API_DATABASE_CONNECTION_URL"])
def test_case_15_a_database_left_over_is_named_at_once(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, f"postgresql+asyncpg://me:hush@{HOST}:{free_port()}/prefect")
    with pytest.raises(GraftError, match=f"^{name} names a database at {HOST} .*unset {name}") as refused:
        require_database()
    assert "hush" not in str(refused.value)
    monkeypatch.setenv(name, "sqlite+aiosqlite:////tmp/prefect.db")
    require_database()


def test_case_15_a_setting_that_prefect_does_not_take_is_named() -> None:
    """In a process of its own, as the first import of Prefect is what fails."""
    name, value = "PREFECT_LOGGING_LEVEL", "loud"
    code = "from graft.automation.prefect_check import require_settings as r; import graft.core.credentials as c; "
    command = [sys.executable, "-c", f"{code}c.guard_output(); r()"]
    done = subprocess.run(command, env={**os.environ, name: value}, capture_output=True, text=True)
    assert done.returncode == 1
    assert re.search(rf"^{name} is '{value}', which Prefect does not take: .*\. Correct it", done.stderr, re.M | re.I)
    assert "Traceback" not in done.stderr
