"""A real server: what it answers, a new champion under load, bodies beyond limits, and its end."""

import asyncio
import base64
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import psutil
import pytest
from champions import CLASSES, move_champion, register
from malformed import FORM, JSON, encoded, form_of, json_of
from running import HOST, LIMIT_SECONDS, SERVE, SOURCES, Running, head, read_answer, start

from graft.automation.prefect_server import free_port
from graft.bundle.model import ImageClassifier
from graft.core.errors import GraftError
from graft.core.params.monitor_params import LogParams
from graft.core.project import Project
from graft.deployment.monitor.prediction_log import PredictionLog
from graft.deployment.server.workers import STARTED_SECONDS

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_outside_settings")]
TOKEN = "a-token-for-these-tests"
PHOTOGRAPHS = [encoded(seed=seed) for seed in range(8)]


@pytest.fixture(scope="module")
def expected(bundles: list[Path]) -> dict[str, np.ndarray]:
    """By version, what the model says of PHOTOGRAPHS with TensorFlow."""
    answers = {}
    for version, bundle in zip(("1", "2"), bundles, strict=True):
        frame = ImageClassifier(bundle).predict(PHOTOGRAPHS)
        answers[version] = np.array([[row[name] for name in CLASSES] for row in frame["probabilities"]])
    return answers


@pytest.fixture
def champion_1(registered: Project, server: Running) -> None:
    move_champion(registered, "1")
    server.wait_until("/ready", "version", "1")


@pytest.fixture
def starts_with_1(registered: Project) -> None:
    """For tests that start a server of their own: the other one follows when it gets to it, and is not waited for."""
    move_champion(registered, "1")


def rows(answer: dict) -> np.ndarray:
    return np.array([[one["probabilities"][name] for name in CLASSES] for one in answer["predictions"]])


@pytest.mark.usefixtures("champion_1")
def test_every_way_leads_to_the_models_answer(server: Running, expected: dict[str, np.ndarray]) -> None:
    texts = [base64.b64encode(one).decode("ascii") for one in PHOTOGRAPHS]
    ways = {
        "form": server.predict(form_of(*PHOTOGRAPHS), FORM),
        "JSON": server.predict(json_of({"images": texts}), JSON),
    }
    for name, answer in ways.items():
        found = answer.json()
        assert (answer.status, found["model"], found["version"]) == (200, "tints", "1"), name
        np.testing.assert_allclose(rows(found), expected["1"], atol=1e-4, err_msg=name)
        best = expected["1"].argmax(axis=1)
        assert [one["label"] for one in found["predictions"]] == [CLASSES[index] for index in best], name
        assert [one["probability"] for one in found["predictions"]] == pytest.approx(rows(found).max(axis=1))
    for content_type in ("image/png", "image/*", "application/octet-stream"):
        answer = server.predict(PHOTOGRAPHS[0], content_type)
        np.testing.assert_allclose(rows(answer.json()), expected["1"][:1], atol=1e-4)


@pytest.mark.usefixtures("champion_1")
def test_the_model_is_described(server: Running) -> None:
    found = server.get("/model").json()
    assert found["classes"] == CLASSES
    assert (found["model"], found["version"], found["alias"]) == ("tints", "1", "champion")
    assert found["tags"]["strategy"] == "mild"
    assert server.metric('graft_model_info{name="tints",version="1"}') == 1


def test_a_new_champion_answers_without_a_failed_request(
    server: Running, registered: Project, champion_1: None, expected: dict[str, np.ndarray]
) -> None:
    versions: list[str] = []
    failures: list[object] = []
    stop = asyncio.Event()

    async def client(number: int) -> None:
        reader, writer = await asyncio.open_connection(HOST, server.port)
        request = head("POST", "/predict", content_type="image/png", content_length=len(PHOTOGRAPHS[number]))
        while not stop.is_set():
            writer.write(request + PHOTOGRAPHS[number])
            top = await reader.readuntil(b"\r\n\r\n")
            body = await reader.readexactly(int(top.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]))
            try:
                assert top.startswith(b"HTTP/1.1 200")
                found = json.loads(body)
                # Of one model or of the other, never of a mixture.
                np.testing.assert_allclose(rows(found)[0], expected[found["version"]][number], atol=1e-4)
                versions.append(found["version"])
            except AssertionError as error:
                failures.append((top[:40], body[:200], error))
        writer.close()

    async def promote() -> None:
        for version in ("2", "1", "2"):
            await asyncio.to_thread(move_champion, registered, version)
            await asyncio.to_thread(server.wait_until, "/ready", "version", version)
            await asyncio.sleep(0.3)
        stop.set()

    async def everything() -> None:
        await asyncio.gather(promote(), *(client(number) for number in range(len(PHOTOGRAPHS))))

    asyncio.run(everything())
    assert failures == []
    assert {"1", "2"} == set(versions)
    assert versions[-len(PHOTOGRAPHS) :] == ["2"] * len(PHOTOGRAPHS)


def test_a_champion_that_cannot_be_loaded_leaves_the_old_one(
    server: Running, registered: Project, champion_1: None, bundles: list[Path], tmp_path: Path
) -> None:
    damaged = shutil.copytree(bundles[0], tmp_path / "damaged")
    (damaged / "saved_model" / "saved_model.pb").write_bytes(b"nothing")
    version = register(registered, damaged)
    loads = server.metric('graft_model_loads_total{outcome="failed"}')
    move_champion(registered, version)
    deadline = time.monotonic() + LIMIT_SECONDS
    while not (problem := server.get("/ready").json()["problem"]):
        assert time.monotonic() < deadline
        assert server.predict(PHOTOGRAPHS[0]).json()["version"] == "1"
        time.sleep(0.05)
    assert f"Version {version} cannot be loaded" in problem
    assert server.predict(PHOTOGRAPHS[0]).json()["version"] == "1"
    assert server.get("/ready").status == 200
    assert server.metric("graft_champion_problem ") == 1
    assert server.metric('graft_model_loads_total{outcome="failed"}') > loads
    assert f"Version {version} cannot be loaded" in server.log.read_text()
    move_champion(registered, "2")
    assert server.wait_until("/ready", "version", "2")["problem"] is None
    assert server.metric("graft_champion_problem ") == 0


@pytest.mark.parametrize("declared", [True, False], ids=["with a length", "in chunks"])
def test_a_body_beyond_the_limit_is_never_held(server: Running, declared: bool) -> None:
    """100 MB against a limit of 2: refused with 413, and the client is heard out, not buffered."""
    process = psutil.Process(server.process.pid)
    before = process.memory_info().rss
    block = bytes(1_000_000)
    if declared:
        top = head("POST", "/predict", content_type="image/png", content_length=100 * len(block))
        answer = server.send(top, *[block] * 100)
    else:
        top = head("POST", "/predict", content_type="image/png", transfer_encoding="chunked")
        chunk = f"{len(block):x}\r\n".encode() + block + b"\r\n"
        answer = server.send(top, *[chunk] * 100, b"0\r\n\r\n")
    assert (answer.status, answer.reason) == (413, "The body is larger than 2 MB, the most that is taken.")
    assert process.memory_info().rss - before < 20_000_000


def test_a_body_that_does_not_arrive_is_given_up(server: Running) -> None:
    answer = server.send(head("POST", "/predict", content_type="image/png", content_length=1000), b"abc")
    assert (answer.status, answer.reason) == (408, "The body did not arrive within 10 s.")


def test_a_client_that_hangs_up_disturbs_nobody(server: Running) -> None:
    for _ in range(20):
        with socket.create_connection((HOST, server.port)) as connection:
            connection.sendall(head("POST", "/predict", content_type="image/png", content_length=1000) + b"abc")
    assert server.predict(PHOTOGRAPHS[0]).status == 200
    assert server.metric("graft_body_bytes_held ") == 0
    assert "Traceback" not in server.log.read_text()


def test_what_is_answered_is_in_the_log_once_the_server_has_ended(
    registered: Project, starts_with_1: None, expected: dict[str, np.ndarray]
) -> None:
    began = datetime.now(UTC)
    with start(registered, "--log") as server:
        for photograph in PHOTOGRAPHS[:4]:
            assert server.predict(photograph).json()["version"] == "1"
        move_champion(registered, "2")
        server.wait_until("/ready", "version", "2")
        assert server.predict(form_of(*PHOTOGRAPHS[4:]), FORM).status == 200
        assert server.predict(b"no image").status == 422
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(timeout=LIMIT_SECONDS) == 0
    text = server.log.read_text()
    assert f"Predictions are logged in {registered.prediction_log}, without the images." in text
    assert "Traceback" not in text
    rows = list(PredictionLog(registered.prediction_log, LogParams()).read(began))
    hashes = [hashlib.sha256(one).hexdigest() for one in (*PHOTOGRAPHS, b"no image")]
    assert [row.image.sha256 for row in rows] == hashes
    words = ["tints version 1 (champion)"] * 4 + ["tints version 2 (champion)"] * 5
    assert [row.model for row in rows] == words
    assert len({row.digest for row in rows}) == 2
    assert [row.image.problem for row in rows] == [""] * 8 + ["not an image that can be read, but text"]
    answers = np.concatenate([expected["1"][:4], expected["2"][4:]])
    assert [row.label for row in rows[:8]] == [CLASSES[index] for index in answers.argmax(axis=1)]
    found = [row.probability for row in rows[:8]]
    np.testing.assert_allclose(found, answers.max(axis=1), atol=1e-4)


@pytest.fixture
def long_patience(registered: Project) -> Iterator[None]:
    """Servers that start now wait for a body for ten minutes."""
    text = registered.params_file.read_text(encoding="utf-8")
    assert text.count("timeout_seconds: 10") == 1
    registered.params_file.write_text(text.replace("timeout_seconds: 10", "timeout_seconds: 600"), encoding="utf-8")
    yield
    registered.params_file.write_text(text, encoding="utf-8")


@pytest.mark.usefixtures("starts_with_1", "long_patience")
def test_a6_the_log_is_written_before_clients_are_waited_for(registered: Project) -> None:
    began = datetime.now(UTC)

    def logged() -> int:
        try:
            return len(list(PredictionLog(registered.prediction_log, LogParams()).read(began)))
        except GraftError:
            return 0  # there is no log yet

    with start(registered, "--log") as server, socket.create_connection((HOST, server.port)) as slow:
        slow.sendall(head("POST", "/predict", content_type="image/png", content_length=1000) + b"abc")
        for photograph in PHOTOGRAPHS[:4]:
            assert server.predict(photograph).status == 200
        server.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + LIMIT_SECONDS
        while logged() < 4:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        # Still waiting for the body; whoever kills it now loses nothing.
        assert server.process.poll() is None
        slow.close()
        assert server.process.wait(timeout=LIMIT_SECONDS) == 0


def test_what_is_under_way_at_the_end_is_answered(registered: Project) -> None:
    """With a token, which a server may have on loopback too: with it everything is answered, without it little."""
    with start(registered, token=TOKEN) as server:
        for path in ("/predict", "/explain", "/model", "/metrics", "/openapi.json", "/nothing"):
            for token in ("", "another-token-than-that"):
                answer = server.get(path, token)
                assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer"), path
                assert "Authorization: Bearer" in answer.reason
        for path in ("/", "/health", "/ready"):
            assert server.get(path).status == 200
        assert server.get("/model", TOKEN).status == 200
        assert server.predict(PHOTOGRAPHS[0], token=TOKEN).status == 200

        with socket.create_connection((HOST, server.port), timeout=LIMIT_SECONDS) as connection:
            photograph = PHOTOGRAPHS[0]
            size = len(photograph)
            top = head("POST", "/predict", token=TOKEN, content_type="image/png", content_length=size)
            connection.sendall(top + photograph[:100])
            time.sleep(0.3)  # arrived, and waiting for the rest
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((HOST, server.port), timeout=5)
            connection.sendall(photograph[100:])
            assert read_answer(connection).status == 200
        assert server.process.wait(timeout=LIMIT_SECONDS) == 0
    log = server.log.read_text()
    assert log.rstrip().endswith("Ended.")
    assert "Traceback" not in log
    assert TOKEN not in log


@pytest.mark.usefixtures("starts_with_1")
def test_workers_answer_on_one_port_count_together_and_are_replaced(registered: Project) -> None:
    with start(registered, "--workers", "2", "--prefix", "/graft") as running:
        parent = psutil.Process(running.process.pid)
        workers, begun = parent.children(), time.monotonic()
        assert len(workers) == 2
        answers = [running.predict(PHOTOGRAPHS[number % 8]) for number in range(20)]
        assert {(answer.status, answer.json()["version"]) for answer in answers} == {(200, "1")}
        # Whichever worker is asked, it tells of both.
        assert {running.metric('graft_requests_total{path="/predict",status="200"}') for _ in range(6)} == {20.0}
        assert running.get("/graft/v2/models/tints/ready").json() == {"name": "tints", "ready": True}
        # By a clock that both processes share: when a process was made is known to a second alone.
        time.sleep(max(0.0, begun + STARTED_SECONDS + 0.1 - time.monotonic()))
        workers[0].kill()
        workers[0].wait(LIMIT_SECONDS)  # until then it may take a connection with it
        for _ in range(20):  # the others answer meanwhile
            assert running.predict(PHOTOGRAPHS[0]).status == 200
        deadline = time.monotonic() + LIMIT_SECONDS
        while len(parent.children()) < 2 or workers[0] in parent.children():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        left = parent.children()
    assert running.process.returncode == 0
    assert not [one for one in left if one.is_running()]


@pytest.mark.usefixtures("starts_with_1")
def test_workers_that_find_no_model_end_with_its_reason(registered: Project) -> None:
    command = [sys.executable, "-c", SERVE, "serve", "--no-token", "--port", str(free_port()), "--workers", "2"]
    done = subprocess.run(
        [*command, "--model", "models:/tints@nobody"],
        cwd=registered.root,
        env={**os.environ, "PYTHONPATH": str(SOURCES)},
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
    )
    assert done.returncode == 1
    assert "MLflow's registry has no nobody of 'tints'" in done.stdout + done.stderr
