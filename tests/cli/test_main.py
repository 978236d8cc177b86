"""The command line as a whole: help, exit codes, and what starting it costs."""

import signal
import subprocess
import sys

import psutil
import pytest
import typer
from typer.testing import CliRunner

from graft.cli import main
from graft.core.errors import GraftError

HEAVY = ("tensorflow", "keras", "mlflow", "prefect", "great_expectations", "dvc", "pandas", "numpy", "PIL", "pydantic")


def commands(app: typer.Typer, *path: str) -> list[tuple[str, ...]]:
    """Every command below an app, as the words that call it."""
    found = [(*path, command.name or command.callback.__name__) for command in app.registered_commands]
    for group in app.registered_groups:
        found += commands(group.typer_instance, *path, group.name)
    return found


@pytest.mark.parametrize("words", commands(main.app), ids=" ".join)
def test_every_command_has_help_with_an_example(words: tuple[str, ...]) -> None:
    result = CliRunner().invoke(main.app, [*words, "--help"])
    assert result.exit_code == 0
    assert f"Example: graft {' '.join(words)}" in " ".join(result.output.split())


def test_help_loads_no_heavy_library() -> None:
    code = (
        "import sys; from graft.cli.main import app\n"
        "try: app(['--help'])\n"
        "except SystemExit: pass\n"
        f"print('LOADED', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "LOADED []" in result.stdout


def run_main(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> int:
    def fail() -> None:
        raise error

    monkeypatch.setattr(main, "app", fail)
    with pytest.raises(SystemExit) as stopped:
        main.main()
    assert isinstance(stopped.value.code, int)
    return stopped.value.code


def test_a_problem_is_one_sentence_and_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_main(monkeypatch, GraftError("data/a.jpg is empty", "Remove it")) == 1
    assert capsys.readouterr().err == "graft: data/a.jpg is empty. Remove it.\n"


WITH_A_PROCESS = """
from graft.cli import main
from graft.core.processes import run_to_end

def app():
    run_to_end(["sh", "-c", "echo $$; exec sleep 600"])

main.app = app
main.main()
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_what_a_command_has_started_ends_with_it(name: str) -> None:
    """A supervisor's stop, `timeout`, or a terminal that is closed."""
    as_usual = f"import signal; signal.signal(signal.{name}, signal.SIG_DFL)"  # whatever these tests were started by
    command = [sys.executable, "-c", as_usual + WITH_A_PROCESS]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        started = psutil.Process(int(process.stdout.readline()))
        process.send_signal(signal.Signals[name])
        _, words = process.communicate(timeout=120)
    assert process.returncode == 128 + signal.Signals[name]
    assert words == f"\ngraft: ended by {name}; what was done before is kept.\n"
    assert not started.is_running()


def test_what_nohup_ignores_stays_ignored() -> None:
    command = ["sh", "-c", 'trap "" HUP; exec "$0" -c "$1"', sys.executable, WITH_A_PROCESS]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGTERM


def test_ctrl_c_is_exit_code_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_main(monkeypatch, KeyboardInterrupt()) == 130
    assert "interrupted" in capsys.readouterr().err


def test_a_full_disk_is_said_with_its_file(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_main(monkeypatch, OSError(28, "No space left on device", "artifacts/x")) == 1
    assert capsys.readouterr().err == "graft: No space left on device: artifacts/x.\n"
