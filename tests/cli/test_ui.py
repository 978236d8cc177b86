"""`graft ui` as a process: who is let in to MLflow's and Prefect's servers, and that nothing is left of them."""

import base64
import html
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest

from graft.automation.prefect_server import HOST, free_port
from graft.core.confined_pages import OWN_SERVER
from graft.core.processes import end
from graft.core.project import Project

LIMIT_SECONDS = 240  # of patience on a busy machine; nothing is measured
ORIGIN = "http://127.0.0.1:9999"  # of a page that another program on the machine serves
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
NOBODY = 65534

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Pages:
    """Addresses of the two servers, the passwords that `graft ui` has printed, and the project."""

    project: Project
    mlflow: str
    prefect: str
    mlflow_password: str
    prefect_password: str
    opened: str

    def asked(self, url: str, password: str = "", method: str = "GET", **headers: str) -> tuple[int, str]:
        """Return the status and body of an answer; a body is sent with POST."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if password:
            sent["Authorization"] = "Basic " + base64.b64encode(password.encode()).decode()
        body = b"{}" if method == "POST" else None
        request = urllib.request.Request(url, body, {"Content-Type": "application/json", **sent}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            assert "access-control-allow-origin" not in error.headers
            return error.code, error.read().decode()


@pytest.fixture(scope="module")
def pages() -> Iterator[Pages]:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # pytest's own folders keep other accounts out
        Path(folder).chmod(0o755)
        project = Project(Path(folder))
        for name, content in {"params.yaml": "{}\n", "dvc.yaml": "stages: {}\n"}.items():
            (project.root / name).write_text(content)
        ports = free_port(), free_port()
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_", "DVC_"))
        }
        started = subprocess.Popen(
            [
                *(sys.executable, "-c", "from graft.cli.main import main; main()", "ui"),
                *("--mlflow-port", str(ports[0]), "--prefect-port", str(ports[1])),
            ],
            cwd=project.root,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            assert started.stdout is not None
            printed = "".join(iter(lambda: _line_until_the_end(started), ""))
            opened = re.search(r"http://graft:(\S+)@\S+", printed)
            secret = re.search(r"password (\S+)", printed)
            assert opened and secret, printed
            mlflow, prefect = (f"http://{HOST}:{port}" for port in ports)
            yield Pages(project, mlflow, prefect, f"graft:{opened[1]}", secret[1], opened[0])
            family = psutil.Process(started.pid).children(recursive=True)
            assert len(family) >= 2
            started.send_signal(signal.SIGINT)
            assert started.wait(timeout=LIMIT_SECONDS) == 0
            assert not [one for one in family if one.is_running()]
        finally:
            if started.poll() is None:
                for child in psutil.Process(started.pid).children(recursive=True):
                    child.kill()
                started.kill()
                started.wait()


def _line_until_the_end(started: subprocess.Popen[str]) -> str:
    assert started.stdout is not None
    line = started.stdout.readline()
    return "" if "Ctrl-C ends" in line else line


def test_a1_only_who_has_the_password_is_let_in(pages: Pages) -> None:
    for url, password in (
        (f"{pages.prefect}/api/admin/version", pages.prefect_password),
        (f"{pages.prefect}/api/flow_runs/", pages.prefect_password),
        (f"{pages.mlflow}/", pages.mlflow_password),
        (f"{pages.mlflow}/health", pages.mlflow_password),
        (f"{pages.mlflow}/ajax-api/2.0/mlflow/experiments/search?max_results=1", pages.mlflow_password),
    ):
        assert pages.asked(url)[0] == 401, url
        assert pages.asked(url, "graft:wrong")[0] == 401, url
        assert pages.asked(url, password)[0] not in (401, 403), url
    assert pages.prefect_password.partition(":")[2] not in pages.mlflow_password


def test_a1_the_address_that_is_printed_opens_mlflow(pages: Pages) -> None:
    """With the password once: a page whose address holds it cannot load anything."""
    assert pages.opened.startswith(f"http://{pages.mlflow_password}@{pages.mlflow.removeprefix('http://')}/open#/")
    status, body = pages.asked(f"{pages.mlflow}/open", pages.mlflow_password)
    assert status == 200
    assert "<title>MLflow</title>" in body
    assert "location.replace(`http://${location.host}/" in body  # without the password
    assert "autoOpenedOnFirstLoad" in body
    assert "<title>MLflow</title>" in pages.asked(f"{pages.mlflow}/", pages.mlflow_password)[1]
    found = pages.asked(f"{pages.mlflow}/ajax-api/2.0/mlflow/experiments/search?max_results=5", pages.mlflow_password)
    assert json.loads(found[1])["experiments"][0]["name"] == "Default"


def test_a1_a_page_of_another_origin_is_refused_even_with_the_password(pages: Pages) -> None:
    """A browser that has been given the password sends it along by itself."""
    search = f"{pages.mlflow}/ajax-api/2.0/mlflow/experiments/search?max_results=1"
    known = pages.mlflow_password
    for method in ("GET", "POST", "OPTIONS"):
        assert pages.asked(search, known, method, Origin=ORIGIN)[0] == 403
        assert pages.asked(search, known, method, Origin="null")[0] == 403
    for site in ("same-site", "cross-site"):  # another port of the same host is of the same site
        embedded = {"Sec_Fetch_Site": site, "Sec_Fetch_Mode": "no-cors", "Sec_Fetch_Dest": "image"}
        assert pages.asked(search, known, **embedded)[0] == 403
        followed = {"Sec_Fetch_Site": site, "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"}
        assert pages.asked(f"{pages.mlflow}/", known, **followed)[0] == 200
        assert pages.asked(search, known, "POST", **followed)[0] == 403
    assert pages.asked(search, known, Origin=pages.mlflow, Sec_Fetch_Site="same-origin")[0] == 200
    # DNS rebinding: the browser takes the page for one of its own host, which MLflow does not go by.
    assert pages.asked(search, known, Host="rebound.example:80", Origin="http://rebound.example:80")[0] == 403


def test_what_pages_ask_for_stays_on_the_machine(pages: Pages) -> None:
    """Prefect's would ask a company that counts visitors; a browser obeys the policy that a page comes with."""
    for url, password in ((f"{pages.mlflow}/", pages.mlflow_password), (f"{pages.prefect}/", "")):
        credentials = base64.b64encode(password.encode()).decode()
        request = urllib.request.Request(url, headers={"Authorization": f"Basic {credentials}", "Accept": "text/html"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert answer.headers["content-type"].startswith("text/html")
            assert OWN_SERVER.decode() in answer.headers.get_all("content-security-policy")


def test_a1_prefect_allows_no_other_origin(pages: Pages) -> None:
    preflight = {"Access_Control_Request_Method": "POST", "Access_Control_Request_Headers": "authorization"}
    filtered = f"{pages.prefect}/api/flow_runs/filter"
    assert pages.asked(filtered, method="OPTIONS", Origin=ORIGIN, **preflight)[0] == 400
    assert pages.asked(filtered, method="OPTIONS", Origin=pages.prefect, **preflight)[0] == 200
    assert pages.asked(filtered, "graft:wrong", "POST")[0] == 401
    assert pages.asked(filtered, pages.prefect_password, "POST") == (200, "[]")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as a second account")
def test_a1_a_second_account_reads_nothing_and_is_not_let_in(pages: Pages) -> None:
    def as_nobody(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, user=NOBODY, group=NOBODY, extra_groups=[], capture_output=True, text=True, timeout=60
        )

    assert as_nobody("ls", str(pages.project.root)).returncode == 0
    for private in (pages.project.prefect, pages.project.state / "private"):
        assert as_nobody("ls", str(private)).returncode != 0
        for path in private.rglob("*"):
            assert as_nobody("cat", str(path)).stdout == ""
    # Of the processes it sees the command lines, and nothing more.
    processes = [path for path in Path("/proc").iterdir() if path.name.isdigit()]
    seen = as_nobody("cat", *(str(path / name) for path in processes for name in ("cmdline", "environ"))).stdout
    for password in (pages.mlflow_password, pages.prefect_password):
        assert password.partition(":")[2] not in seen
    ask = (
        "import sys, urllib.request, urllib.error\n"
        "try: print(urllib.request.urlopen(sys.argv[1]).status)\n"
        "except urllib.error.HTTPError as error: print(error.code)"
    )
    for url in (f"{pages.prefect}/api/admin/version", f"{pages.mlflow}/"):
        assert as_nobody("/usr/bin/env", "python3", "-c", ask, url).stdout.strip() == "401", url


@pytest.fixture
def elsewhere(pages: Pages) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A page of another port, which tries what a page can, and what it reports."""
    reports: list[dict[str, Any]] = []
    targets = [
        f"{pages.prefect}/api/flow_runs/filter",
        f"{pages.prefect}/api/admin/version",
        f"{pages.mlflow}/ajax-api/2.0/mlflow/experiments/search?max_results=1",
        f"{pages.mlflow}/ajax-api/2.0/mlflow/experiments/create",
    ]
    page = f"""<!doctype html><title>elsewhere</title>
<form id="form" method="post" enctype="text/plain" target="frame"
  action="{html.escape(targets[3])}"><input name='{{"name":"' value='by-a-form"}}'></form>
<iframe name="frame"></iframe><img src="{html.escape(targets[2])}">
<script>
document.getElementById("form").submit();
async function tried(url, options) {{
  try {{ const answer = await fetch(url, options); return [answer.status, await answer.text()]; }}
  catch (error) {{ return ["blocked", String(error)]; }}
}}
(async () => {{
  const report = {{}};
  for (const url of {json.dumps(targets)}) {{
    report["get " + url] = await tried(url, {{credentials: "include"}});
    report["json " + url] = await tried(url, {{method: "POST", credentials: "include", body: '{{"name":"by-fetch"}}',
      headers: {{"Content-Type": "application/json"}}}});
    report["simple " + url] = await tried(url, {{method: "POST", credentials: "include", mode: "no-cors",
      body: '{{"name":"by-no-cors"}}'}});
  }}
  await fetch("/report", {{method: "POST", body: JSON.stringify(report)}});
}})();
</script>"""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(page.encode())

        def do_POST(self) -> None:
            reports.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.answer(b"")

        def answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer((HOST, 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://{HOST}:{server.server_address[1]}/", reports
    server.shutdown()
    server.server_close()


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed")
def test_a1_a_page_in_a_browser_reaches_neither_server(
    pages: Pages, elsewhere: tuple[str, list[dict[str, Any]]], tmp_path: Path
) -> None:
    """In a browser that has just been let in to MLflow, which sends its password along with what the page tries."""
    address, reports = elsewhere
    assert CHROMIUM is not None
    profile = tmp_path / "profile"
    browser = psutil.Popen(
        [
            *(CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
            *("--no-first-run", "--remote-debugging-port=0", f"--user-data-dir={profile}", pages.opened),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + LIMIT_SECONDS

    def wait_for(what: Callable[[], bool]) -> None:
        while not what():
            assert browser.poll() is None and time.monotonic() < deadline
            time.sleep(0.2)

    def devtools(path: str, method: str = "GET") -> Any:
        port = (profile / "DevToolsActivePort").read_text().split()[0]
        request = urllib.request.Request(f"http://{HOST}:{port}/json/{path}", method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    try:
        port_file = profile / "DevToolsActivePort"
        wait_for(lambda: port_file.exists() and port_file.stat().st_size > 0)
        wait_for(lambda: any(tab["title"] == "MLflow" for tab in devtools("list")))
        devtools(f"new?{address}", "PUT")
        wait_for(lambda: bool(reports))
    finally:
        end([browser, *browser.children(recursive=True)])
    (report,) = reports
    assert len(report) == 12
    for tried, (status, body) in report.items():
        # "no-cors" lets a page send, and see neither status nor body of the answer.
        assert (status, body) == (0, "") if tried.startswith("simple") else status == "blocked", (tried, status)
    found = pages.asked(f"{pages.mlflow}/ajax-api/2.0/mlflow/experiments/search?max_results=9", pages.mlflow_password)
    assert [one["name"] for one in json.loads(found[1])["experiments"]] == ["Default"]
