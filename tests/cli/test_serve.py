"""`graft serve`: what it refuses before anything is loaded."""

import shutil
import socket
from pathlib import Path

import pytest
from typer.testing import CliRunner

from graft.automation.prefect_server import HOST, free_port
from graft.cli.main import app
from graft.core.errors import GraftError
from graft.core.project import Project
from graft.core.secret import password_for

ROOT = Path(__file__).parents[2]


@pytest.fixture
def served_project(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project whose working directory this is, with nothing registered."""
    shutil.copy(ROOT / "params.yaml", project.root)
    monkeypatch.chdir(project.root)
    monkeypatch.delenv("GRAFT_TOKEN", raising=False)
    return project


def serve(*options: str) -> Exception:
    result = CliRunner().invoke(app, ["serve", *options])
    assert isinstance(result.exception, GraftError), result.output
    return result.exception


def test_other_addresses_need_a_token(served_project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "there is to be no token" in str(serve("--host", "0.0.0.0", "--no-token"))
    assert "has no champion" in str(serve("--host", "0.0.0.0", "--port", str(free_port())))
    assert "There is a token, and --no-token too" in str(serve("--token", "short", "--no-token"))
    assert "has 5 characters" in str(serve("--host", "0.0.0.0", "--token", "short"))
    monkeypatch.setenv("GRAFT_TOKEN", "short")
    assert "has 5 characters" in str(serve())
    assert "There is a token, and --no-token too" in str(serve("--no-token"))


def test_a4_by_default_the_token_is_the_projects_own(served_project: Project) -> None:
    port = str(free_port())
    for options, shown in (((), True), (("--token", "0123456789abcdef"), False), (("--no-token",), False)):
        result = CliRunner().invoke(app, ["serve", "--port", port, *options])
        token = f"#token={password_for(served_project, 'serve')}"
        assert (token in result.output) is shown, options
        assert ("Authorization: Bearer" in result.output) is ("--no-token" not in options)
        assert "0123456789abcdef" not in result.output.replace(token, "")


def test_a_port_in_use_is_named(served_project: Project) -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        said = str(serve("--port", str(port)))
        assert f"127.0.0.1, port {port}, cannot be listened on" in said
        assert "another port with --port" in said


def test_an_address_of_another_machine_is_named(served_project: Project) -> None:
    # 203.0.113.0/24 is set aside for examples, RFC 5737.
    said = str(serve("--host", "203.0.113.7", "--token", "0123456789abcdef"))
    assert "203.0.113.7, port 8000, cannot be listened on" in said
    assert "an address of this machine with --host" in said


def test_without_a_champion_it_says_how_to_get_one(served_project: Project) -> None:
    problem = str(serve("--port", str(free_port())))
    assert "MLflow's registry has no champion of 'tints'" in problem
    assert "graft promote" in problem
    assert "--model models:/tints@challenger" in problem


def test_a_model_that_is_not_there_is_named(served_project: Project) -> None:
    assert "There is no model in nowhere" in str(serve("--port", str(free_port()), "--model", "nowhere"))
