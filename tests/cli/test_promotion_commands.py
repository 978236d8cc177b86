"""`graft promote`, `rollback` and `history` as they are typed; the gate as a command is in tests/promotion."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from graft.automation.prefect_server import free_port
from graft.cli.main import app, main
from graft.core.errors import GraftError
from graft.core.project import Project
from graft.registry.promotion.line import SHOWN_TAG
from graft.registry.store.tracking_store import open_store

ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys
from typer.testing import CliRunner
from graft.cli.main import app
for words in (
    ["promote", "--version", "1", "--without-gate", "--reason", "first"],
    ["promote", "--version", "2", "--without-gate", "--reason", "second"],
    ["rollback", "--json"],
    ["history", "--json"],
):
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, (words, result.output, result.exception)
print("LOADED", [name for name in ("tensorflow", "keras", "great_expectations", "prefect") if name in sys.modules])
"""


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = Project(tmp_path_factory.mktemp("commands"))
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        client = open_store(project)
        client.create_registered_model("tints")
        for number in range(3):
            client.create_model_version("tints", f"file:///nowhere/{number}", tags={"strategy": f"s[{number}]"})
    return project.home / "mlflow.db"


@pytest.fixture
def there(project: Project, database: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with three versions in its registry, whose working directory this is."""
    shutil.copy(database, project.root)
    shutil.copy(ROOT / "params.yaml", project.root)
    monkeypatch.chdir(project.root)
    return project


def run(*words: str) -> str:
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


def test_a_line_of_champions_from_first_to_rolled_back(there: Project) -> None:
    assert "no champion that graft knows of" in run("history")
    first = run("promote", "--version", "1", "--without-gate", "--reason", "the [first]")
    assert "tints: version 1 (s[0]) is champion now, by force." in first
    second = run("promote", "--version", "2", "--without-gate", "--reason", "better")
    assert "before it was version 1" in second
    assert "graft rollback    restores version 1" in second
    assert "tints: version 1 (s[0]) is champion now, rolled back; before it was version 2." in run(
        "rollback", "--reason", "worse after all"
    )
    told = run("history")
    assert [line.split()[2:4] for line in told.splitlines() if line.startswith("20")] == [
        ["1", "s[0]"],
        ["2", "s[1]"],
        ["1", "now"],
    ]
    assert "by force: the [first]" in told
    assert "rolled back from version 2: worse after all" in told


def test_what_programs_read_is_json_and_nothing_else(there: Project) -> None:
    run("promote", "--version", "1", "--without-gate", "--reason", "first")
    changed = json.loads(run("promote", "--version", "3", "--without-gate", "--reason", "third", "--json"))
    assert (changed["model"], changed["previous"], changed["change"]["version"]) == ("tints", "1", "3")
    told = json.loads(run("history", "--json"))
    assert told["aliases"] == {"champion": "3", "previous_champion": "1"}
    assert [change["version"] for change in told["changes"]] == ["1", "3"]
    assert [change["now"] for change in told["changes"]] == [False, True]


def test_an_alias_that_was_moved_by_hand_is_told(there: Project) -> None:
    run("promote", "--version", "1", "--without-gate", "--reason", "first")
    open_store(there).set_registered_model_alias("tints", "champion", "2")
    open_store(there).set_model_version_tag("tints", "2", SHOWN_TAG, "The champion is stuck.")
    told = run("history")
    assert "The champion is stuck." in told
    assert "The alias champion now names version 2: something else than graft has moved it." in told
    assert " now " not in told.split("The alias")[0]


def test_a_refusal_is_an_error_with_what_to_do(there: Project) -> None:
    result = CliRunner().invoke(app, ["promote", "--version", "1"])
    assert isinstance(result.exception, GraftError)
    assert "has not judged version 1 of 'tints'" in str(result.exception)
    result = CliRunner().invoke(app, ["rollback"])
    assert isinstance(result.exception, GraftError)


@pytest.mark.slow
def test_promotion_and_rollback_import_no_tensorflow(there: Project) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "LOADED []"


@pytest.mark.parametrize(
    "words",
    [
        ["history"],
        ["gate"],
        ["promote"],
        ["rollback"],
        ["predict", "photograph.png"],
        ["export", "--format", "onnx", "--out", "exported"],
        ["serve"],
    ],
    ids=lambda words: words[0],
)
def test_d1_every_command_that_asks_mlflow_says_that_it_is_away(
    there: Project, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    (there.root / "photograph.png").write_bytes(next(there.data.rglob("*.png")).read_bytes())
    address = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:pa55word@{address}")
    # By itself it would try for four minutes.
    monkeypatch.setattr("mlflow.MlflowClient.__init__", lambda *_, **__: pytest.fail("MLflow was asked"))
    result = CliRunner().invoke(app, words)
    assert isinstance(result.exception, GraftError), (result.output, result.exception)
    assert f"MLflow's server http://***@{address} does not answer" in str(result.exception)
    assert "pa55word" not in f"{result.output}{result.exception}"


def test_d1_a_server_that_goes_away_between_two_questions_is_one_line(
    there: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from mlflow.exceptions import MlflowException

    def gone(*_: object) -> None:
        raise MlflowException("API request to http://me:pa55word@host/ failed\nwith a page of reasons")

    monkeypatch.setattr("graft.registry.store.read_registry.REVISIONS", frozenset())  # of a store that SQL cannot read
    monkeypatch.setattr("mlflow.MlflowClient.get_registered_model", gone)
    monkeypatch.setattr(sys, "argv", ["graft", "history"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert capsys.readouterr().err == "graft: MLflow: API request to http://***@host/ failed.\n"
