"""`graft schedule` and what belongs to it, as typed: refusals and their sentences."""

import json
import os
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from graft.automation.retraining.outcome import Outcome
from graft.automation.schedule.service import at_work
from graft.cli.main import app
from graft.core.errors import GraftError
from graft.core.project import Project


@pytest.fixture(autouse=True)
def in_project(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")})
    monkeypatch.chdir(project.root)


def refusal(*arguments: str) -> tuple[str, str]:
    """The sentence of the error, and what was printed before."""
    result = CliRunner().invoke(app, ["schedule", *arguments])
    assert isinstance(result.exception, GraftError), result.output
    return str(result.exception), result.output


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--cron", "0 3 * *"], "'0 3 * *' is no cron expression"),
        (["--every", "soon"], "--every soon is no length of time"),
        (["--cron", "0 3 * * *", "--every", "15m"], "Both --cron and --every"),
        (["--timezone", "UTC"], "Neither --cron nor --every"),
        (["--cron", "0 3 * * *", "--timezone", "Mars"], "'Mars' is no time zone"),
        (["--cron", "0 3 * * *", "--name", "a/b"], "no deployment called 'a/b'"),
    ],
)
def test_what_cannot_be_understood_starts_nothing(project: Project, arguments: list[str], sentence: str) -> None:
    assert sentence in refusal(*arguments)[0]
    assert not (project.state / "schedule.lock").exists()
    assert not (project.state / "prefect" / "server.json").exists()


def test_a_second_schedule_is_refused(project: Project, repository: Path) -> None:
    shutil.copy(repository / "params.yaml", project.params_file)
    with at_work(project):
        assert f"as process {os.getpid()}" in refusal("--cron", "0 3 * * *")[0]


@pytest.mark.parametrize("command", ["pause", "resume", "run-now", "list", "env"])
def test_without_a_server_each_says_what_to_do(command: str) -> None:
    sentence, printed = refusal(command)
    assert sentence == (
        'No Prefect server is at work for this project. Start one: graft schedule --cron "0 3 * * *", or graft ui.'
    )
    assert printed == ""


def test_without_a_server_the_history_is_shown_all_the_same(project: Project) -> None:
    (project.state / "retrain").mkdir(parents=True)
    done = Outcome("2026-11-25T03:00:00+00:00", "tints", version="7", promoted=True, seconds=61.4)
    failed = Outcome("2026-11-26T03:00:00+00:00", "tints", failure="The disk is full.")
    lines = "".join(json.dumps(one.as_record()) + "\n" for one in (done, failed))
    (project.state / "retrain" / "history.jsonl").write_text(lines)
    _, printed = refusal("list")
    assert printed.index("retraining failed (0 s)") < printed.index("version 7 is champion (61 s)")
    assert "    The disk is full." in printed
