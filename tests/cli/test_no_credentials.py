"""No password of a server's address comes out of any command, whatever goes wrong with that server."""

import logging
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_command_tree import TREE

from graft.cli import main
from graft.core.credentials import errors_without_credentials, guard_output
from graft.core.errors import GraftError
from graft.core.project import Project

SECRET = "hunter2-of-graft"

# What makes a command ask MLflow or Prefect.
ARGUMENTS = {
    ("promote",): ["--version", "1", "--without-gate", "--reason", "a test"],
    ("predict",): ["data/red"],
    ("monitor",): ["data", "--model", "models:/tints@champion"],
    ("export",): ["--format", "onnx", "--out", "out"],
    ("cache", "prune"): ["--to-gb", "5"],
    ("data", "inspect"): ["--no-labels", "--no-page"],
    ("data", "use"): ["mnist", "--from", "nowhere"],
    ("data", "import"): ["nowhere"],
    ("recipe", "show"): ["mnist_mlp"],
    ("recipe", "use"): ["no_such_recipe"],
}
ELSEWHERE = {
    ("run",): "its stages are processes of their own: the flows' errors and logs are below",
    ("retrain",): "as run",
    ("sweep",): "trains; its runs are opened as those of all commands",
    ("advise",): "asks no server",
    ("data", "list"): "asks no server of the project's",
    ("schedule",): "asks as its commands do",
    ("serve",): "does not end by itself; what it reports is in tests/serving",
}


@pytest.fixture
def dead_address() -> Iterator[str]:
    """host:port on loopback where nobody listens, and nobody can begin to."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"


@pytest.fixture
def here(project: Project, repository: Path, dead_address: str, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project whose servers are named with a password, and away."""
    shutil.copy(repository / "params.yaml", project.root)
    monkeypatch.chdir(project.root)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://someone:{SECRET}@{dead_address}")
    monkeypatch.setenv("PREFECT_API_URL", f"http://someone:{SECRET}@{dead_address}/api")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    return project


COMMANDS = [path for path, command in TREE if not getattr(command, "commands", None) or path == ("schedule",)]


def test_a5_every_command_is_asked() -> None:
    assert set(ARGUMENTS) | set(ELSEWHERE) <= set(COMMANDS)


@pytest.mark.parametrize("words", [path for path in COMMANDS if path not in ELSEWHERE], ids=" ".join)
def test_a5_no_password_in_what_a_command_says(
    here: Project, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["graft", *words, *ARGUMENTS.get(words, [])])
    with pytest.raises(SystemExit):
        main.main()
    shown = capfd.readouterr()
    assert shown.out + shown.err
    assert SECRET not in shown.out + shown.err
    assert "Traceback" not in shown.err
    kept = [path for path in here.state.rglob("*") if path.is_file()]
    assert not [path for path in kept if SECRET.encode() in path.read_bytes()]


PROGRAM = f"""
import logging, sys, threading
from graft.core.environment import configure
from graft.core.project import Project
from pathlib import Path
configure(Project(Path(sys.argv[1])))
logging.basicConfig(stream=sys.stdout)
text = "no answer from http://someone:{SECRET}@host"
logging.getLogger("a.library").warning("It says: %s", text)
def fail():
    try:
        raise ValueError(text)
    except ValueError as error:
        raise RuntimeError("in vain") from error
try:
    fail()
except RuntimeError:
    logging.getLogger("another").exception("It failed")
thread = threading.Thread(target=fail)
thread.start()
thread.join()
fail()
"""


def test_a5_logs_and_tracebacks_of_all_libraries_are_free_of_passwords(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], capture_output=True, text=True, env={**os.environ}
    )
    assert done.returncode == 1
    shown = done.stdout + done.stderr
    assert shown.count("http://***@host") == 4
    assert shown.count("RuntimeError: in vain") == 3
    assert SECRET not in shown


def test_a5_what_a_stages_task_raises_reaches_prefect_without_a_password() -> None:
    @errors_without_credentials
    def record(what: BaseException) -> None:
        raise what

    with pytest.raises(RuntimeError, match=r"^ConnectionError: GET http://\*\*\*@host failed$") as caught:
        record(ConnectionError(f"GET http://someone:{SECRET}@host failed"))
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    for same in (OSError(28, "No space left on device", "x"), GraftError("a", "b"), KeyboardInterrupt()):
        with pytest.raises(type(same)) as passed:
            record(same)
        assert passed.value is same


def test_a5_log_records_that_hold_no_password_are_left_as_they_are() -> None:
    guard_output()
    factory = logging.getLogRecordFactory()
    record = factory("name", logging.INFO, "file", 1, "%s of %d", ("one", 2), None)
    assert (record.msg, record.args) == ("%s of %d", ("one", 2))
    guard_output()
    assert logging.getLogRecordFactory() is factory
    wrong = factory("name", logging.INFO, "file", 1, "%d", ("no number",), None)
    assert wrong.args == ("no number",)
