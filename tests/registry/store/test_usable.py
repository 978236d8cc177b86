"""Servers of other people: what of them is of no use to graft is said before anything is trained."""

import json
import threading
import uuid
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tiny import clock, make_project, tiny_params

from graft.automation import run_pipeline
from graft.core.errors import GraftError
from graft.core.project import Project
from graft.registry.runs.strategy_runs import training_run
from graft.registry.store.tracking_store import open_store

EXPERIMENT = {"experiment_id": "1", "name": "tints", "lifecycle_stage": "active", "artifact_location": "x"}
# Status, body.
Answer = tuple[int, str]


class Server:
    """Answers as MLflow's server does, but for what a test has put into ``answers``, by path."""

    def __init__(self, files: Path) -> None:
        self.files = files
        self.answers: dict[str, Answer | Callable[[], Answer]] = {}
        self.asked: list[str] = []
        info = {"run_id": uuid.uuid4().hex, "experiment_id": "1", "status": "RUNNING", "artifact_uri": str(files)}
        run = {"run": {"info": info, "data": {}}}
        self.usual: dict[str, Answer] = {
            "/health": (200, "OK"),
            "/api/2.0/mlflow/experiments/search": (200, json.dumps({"experiments": [EXPERIMENT]})),
            "/api/2.0/mlflow/experiments/get-by-name": (200, json.dumps({"experiment": EXPERIMENT})),
            "/api/2.0/mlflow/experiments/get": (200, json.dumps({"experiment": EXPERIMENT})),
            "/api/2.0/mlflow/logged-models/search": (200, json.dumps({"models": []})),
            "/api/2.0/mlflow/runs/create": (200, json.dumps(run)),
            "/api/2.0/mlflow/runs/get": (200, json.dumps(run)),
            "/api/2.0/mlflow/runs/update": (200, json.dumps({"run_info": info})),
            "/api/2.0/mlflow/runs/log-batch": (200, "{}"),
        }

    def answer(self, address: str) -> Answer:
        path = urlsplit(address).path
        self.asked.append(path)
        for start, answer in self.answers.items():
            if path.startswith(start):
                return answer() if callable(answer) else answer
        return self.usual.get(path, (404, "Not Found"))


@pytest.fixture
def server(tmp_path: Path, no_outside_settings: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    made = Server(tmp_path / "disk")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, body = made.answer(self.path)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body.encode())))
            self.send_header("Retry-After", "3600")
            self.end_headers()
            self.wfile.write(body.encode())

        do_POST = do_PATCH = do_PUT = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{http.server_port}")
    yield made
    http.shutdown()
    http.server_close()


@pytest.fixture
def project(tmp_path: Path, server: Server) -> Project:
    return make_project(tmp_path / "project")


HOST = "Invalid Host header - possible DNS rebinding attack detected"
REFUSALS: dict[str, tuple[Answer, str]] = {
    "a password": ((401, "You are not authenticated."), r"wants a user and password\. Set MLFLOW_TRACKING_USERNAME"),
    "another name": ((403, HOST), r"does not take requests for the name 127.0.0.1:\d+\. Have it .* --allowed-hosts"),
    "no right": ((403, "Permission denied"), r"refuses: .*403.*Ask its owner for the right"),
    "another program": ((404, "Not Found"), r"answers, but not as MLflow does\. Correct MLFLOW_TRACKING_URI"),
    "no JSON of MLflow's": ((200, "[]"), r"answers, but not as MLflow does\. Correct MLFLOW_TRACKING_URI"),
    "too much to do": ((429, "slow down"), r"answers with the error 429\. See to it"),
    "a proxy without it": ((503, "<html>503</html>"), r"answers with the error 503\. See to it"),
    "a login page": ((200, "<html>Sign in</html>"), r"answers, but not as MLflow does\. Correct MLFLOW_TRACKING_URI"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_case_14_a_server_that_lets_nobody_in_is_found_out_before_a_run(
    name: str, server: Server, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer, reason = REFUSALS[name]
    server.answers["/api/"] = answer
    with pytest.raises(GraftError, match=reason):
        open_store(project)
    monkeypatch.setattr(run_pipeline, "shared_server", None)
    with pytest.raises(GraftError, match=reason):
        run_pipeline.reproduce(project, [])


def test_case_14_a_wrong_password_is_named_by_its_variable(
    server: Server, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answers["/api/"] = (401, "")
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ann")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "pa55word")
    with pytest.raises(GraftError, match="does not take that of MLFLOW_TRACKING_USERNAME") as raised:
        open_store(project)
    assert "pa55word" not in str(raised.value)


def test_case_14_a_server_whose_database_hangs_is_found_out_in_seconds(
    server: Server, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its address answers, and so does what looks whether it lives."""
    done = threading.Event()
    server.answers["/api/"] = lambda: (200, "{}") if done.wait(30) else (500, "")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with pytest.raises(GraftError, match="is there, but does not answer in time"):
        open_store(project)
    done.set()


def begin(project: Project) -> None:
    params = tiny_params().train
    with training_run(project, params, params.run[0], clock()):
        raise AssertionError("the training began")


def test_case_14_a_server_of_mlflow_2_is_found_out_before_the_training(server: Server, project: Project) -> None:
    server.answers["/api/2.0/mlflow/logged-models"] = (404, "Not Found")
    with pytest.raises(GraftError, match="is older than MLflow 3, and cannot keep models"):
        begin(project)
    assert "/api/2.0/mlflow/runs/create" not in server.asked


def test_case_14_files_on_the_disk_of_another_machine_are_found_out_by_reading_back(
    server: Server, project: Project
) -> None:
    """The client writes into a folder of that name here, and the server looks into its own."""
    server.answers["/get-artifact"] = (500, "no such file")
    with pytest.raises(GraftError, match=r"put files into .*/disk, a folder of its own machine .*--serve-artifacts"):
        begin(project)
    assert not server.files.exists()


def test_case_14_files_on_a_disk_that_server_and_client_share_are_fine(server: Server, project: Project) -> None:
    server.answers["/get-artifact"] = lambda: (200, (server.files / "settings.json").read_text())
    with pytest.raises(AssertionError, match="the training began"):
        begin(project)
    assert json.loads((server.files / "settings.json").read_text())["kind"]


def test_case_14_a_place_that_cannot_be_written_is_found_out(server: Server, project: Project, tmp_path: Path) -> None:
    server.files.write_text("a file, where a folder should be made")
    with pytest.raises(GraftError, match=r"put files into .*/disk, a folder of its own machine"):
        begin(project)
