"""Who does not belong gets nowhere: pages of other origins in a real browser, and other accounts of this machine."""

import json
import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from malformed import encoded
from running import HOST, Running, head, start

from graft.core.project import Project
from graft.core.secret import password_for, secret_file

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_outside_settings")]

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BROWSER = next((found for name in NAMES if (found := shutil.which(name))), None)
needs_browser = pytest.mark.skipif(BROWSER is None, reason="needs Chromium: apt-get install chromium")
NOBODY = 65534

# What a page can send without asking the server first, what it has to ask for, and what it can only embed.
ATTACK = """<!doctype html><body><script>
const target = "http://TARGET";
const image = Uint8Array.from(IMAGE);
const tries = {
  blob: () => fetch(target + "/predict", {method: "POST", mode: "no-cors", body: new Blob([image])}),
  form: () => {
    const form = new FormData();
    form.append("file", new File([image], "a.png", {type: "image/png"}));
    return fetch(target + "/predict", {method: "POST", mode: "no-cors", body: form, credentials: "include"});
  },
  posted: () => new Promise((done) => {
    const frame = document.createElement("iframe"), form = document.createElement("form");
    const field = document.createElement("input"), files = new DataTransfer();
    frame.name = "sink";
    frame.onload = done;
    files.items.add(new File([image], "a.png", {type: "image/png"}));
    Object.assign(field, {type: "file", name: "file", files: files.files});
    Object.assign(form, {action: target + "/predict", method: "post", enctype: "multipart/form-data", target: "sink"});
    form.append(field);
    document.body.append(frame, form);
    form.submit();
  }),
  json: () => fetch(target + "/predict", {method: "POST", body: JSON.stringify({images: []}),
    headers: {"Content-Type": "application/json"}}),
  model: () => fetch(target + "/model").then((answer) => answer.text()),
  metrics: () => fetch(target + "/metrics", {mode: "no-cors"}).then((answer) => answer.text()),
  page: () => fetch(target + "/").then((answer) => answer.text()),
};
(async () => {
  const seen = {};
  for (const [name, attempt] of Object.entries(tries)) {
    seen[name] = await attempt().then((found) => typeof found === "string" ? found : "", (error) => "");
  }
  await fetch("/seen", {method: "POST", body: JSON.stringify(seen)});
})();
</script>"""


@contextmanager
def page_elsewhere(target: str) -> Iterator[tuple[int, list[dict[str, str]]]]:
    """A page of another origin that tries everything: its port, and what it was able to read."""
    page = ATTACK.replace("TARGET", target).replace("IMAGE", json.dumps(list(encoded()))).encode()
    seen: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(page)

        def do_POST(self) -> None:
            seen.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            pass

    with ThreadingHTTPServer((HOST, 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port, seen
        server.shutdown()


@contextmanager
def browsing(folder: Path, url: str, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """Chromium without a window; evil.test is this machine too."""
    command = [
        str(BROWSER), "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
        f"--user-data-dir={folder / 'browser'}", "--host-resolver-rules=MAP evil.test 127.0.0.1", *options, url,
    ]  # fmt: skip
    browser = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        yield browser
    finally:
        browser.kill()
        browser.communicate()


def seen_at(folder: Path, url: str) -> str:
    """A page's document once its scripts have run for some seconds."""
    with browsing(folder, url, "--dump-dom", "--virtual-time-budget=8000") as browser:
        return browser.communicate(timeout=180)[0].decode()


def refused(server: Running, status: int, token: str) -> float:
    """Requests for predictions that were answered with this status."""
    name = f'graft_requests_total{{path="/predict",status="{status}"}}'
    lines = server.get("/metrics", token).body.decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


@pytest.fixture(scope="module")
def own(registered: Project) -> Iterator[tuple[Running, str]]:
    """A server as `graft serve` starts it, and the project's own token."""
    with start(registered, "--log", token="") as running:
        yield running, password_for(registered, "serve")


@needs_browser
@pytest.mark.parametrize("origin", ["evil.test", "localhost"])
@pytest.mark.parametrize("protected", [True, False], ids=["token", "no token"])
def test_a4_a_page_of_another_origin_is_refused_by_a_browser(
    protected: bool, origin: str, own: tuple[Running, str], server: Running, tmp_path: Path
) -> None:
    running, token = own if protected else (server, "")
    status = 401 if protected else 403
    answered, denied = refused(running, 200, token), refused(running, status, token)
    with page_elsewhere(f"localhost:{running.port}") as (port, seen), browsing(tmp_path, f"http://{origin}:{port}/"):
        deadline = time.monotonic() + 180
        while not seen:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert seen == [dict.fromkeys(("blob", "form", "posted", "json", "model", "metrics", "page"), "")]
    assert refused(running, 200, token) == answered
    # They did arrive; the JSON's preflight is one of them.
    assert refused(running, status, token) - denied == 4


@needs_browser
def test_a4_another_name_for_this_machine_shows_nothing(server: Running, tmp_path: Path) -> None:
    document = seen_at(tmp_path, f"http://evil.test:{server.port}/")
    assert "answers to localhost alone, not to that Host" in document
    assert "tints" not in document


@needs_browser
def test_a4_the_address_that_is_printed_opens_the_page(own: tuple[Running, str], tmp_path: Path) -> None:
    running, token = own
    (address,) = re.findall(r"http://\S+", running.log.read_text())
    assert address == f"http://{HOST}:{running.port}/#token={token}"
    document = seen_at(tmp_path, address)
    assert re.search(r"tints, version \d knows: red, green, blue", document)
    assert "keeps the answer, a hash and figures such as brightness, not the photographs." in document
    without = seen_at(tmp_path / "other", address.partition("#")[0])
    assert "The model is not shown without the token." in without
    assert "tints" not in without


def as_another_account(act: Callable[[], object]) -> Any:
    """What a function gives, or the name of the error that it raises, in a process of the account nobody."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            try:
                found = act()
            except Exception as error:
                found = type(error).__name__
            os.write(writing, json.dumps(found).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as stream:
        found = json.loads(stream.read())
    os.waitpid(child, 0)
    return found


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root, to become another account")
def test_a4_another_account_gets_nothing(own: tuple[Running, str], registered: Project) -> None:
    running, token = own
    process = Path("/proc", str(running.process.pid))
    secret = secret_file(registered)
    assert secret.stat().st_mode & 0o077 == 0
    for path in (secret, process / "environ"):
        assert as_another_account(lambda path=path: len(path.read_bytes())) == "PermissionError", path
    command_line = as_another_account(lambda: (process / "cmdline").read_text())
    assert "serve" in command_line
    assert token not in command_line
    image = encoded()
    requests = {
        "/predict": head("POST", "/predict", content_type="image/png", content_length=len(image)) + image,
        **{path: head("GET", path) for path in ("/model", "/metrics", "/openapi.json", "/nothing")},
    }
    for path, request in requests.items():
        assert as_another_account(lambda request=request: running.send(request).status) == 401, path
    assert running.predict(image, token=token).status == 200
