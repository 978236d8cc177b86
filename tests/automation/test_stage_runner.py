"""How a stage ends: its exit code, its one sentence, and the times it leaves."""

import errno
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from graft.automation import stage_runner
from graft.core.errors import GraftError
from graft.core.git import run_git
from graft.core.project import Project
from graft.core.timing import StageClock

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def end_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Runs a function as the flow of a stage and returns the exit code."""
    (tmp_path / "params.yaml").write_bytes((REPOSITORY / "params.yaml").read_bytes())
    monkeypatch.setattr(stage_runner, "find_project", lambda: Project(tmp_path))
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.delenv("DVC_STAGE", raising=False)

    def run(flow: Callable[..., Any], *arguments: Any) -> int:
        with pytest.raises(SystemExit) as stopped:
            stage_runner.run_stage("train", flow, *arguments)
        assert isinstance(stopped.value.code, int)
        return stopped.value.code

    return run


def raising(error: BaseException) -> Callable[..., None]:
    def flow(project: Project, clock: Any, *arguments: Any) -> None:
        raise error

    return flow


def test_a_good_stage_leaves_its_times(end_stage: Callable[..., int], tmp_path: Path) -> None:
    def flow(project: Project, clock: Any, name: str) -> None:
        with clock.span("work"):
            assert name == "frozen"

    assert end_stage(flow, "frozen") == 0
    record = json.loads((tmp_path / ".graft/cache/timings/train@frozen.json").read_text())
    assert [span["name"] for span in record["spans"]] == ["work"]
    assert record["total"] >= record["spans"][0]["seconds"]


def test_case_15_a_profile_names_no_server(end_stage: Callable[..., int]) -> None:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    named: list[str | None] = []
    with temporary_settings({PREFECT_API_URL: "https://api.prefect.cloud/api/accounts/1/workspaces/2"}):
        assert end_stage(lambda project, clock: named.append(PREFECT_API_URL.value())) == 0
    assert named == [None]


def test_case_13_a_stage_stops_before_it_begins_where_git_refuses(
    end_stage: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_git(tmp_path, "init", "--quiet")
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    assert end_stage(raising(AssertionError("it began"))) == 1
    assert "train stopped: git does not read the repository of" in capsys.readouterr().err


def test_case_19_advice_for_a_full_disk_loses_nothing_that_was_kept() -> None:
    """`dvc gc -w` drops what an import has replaced, and what other commits name."""
    for path in (*Path(stage_runner.__file__).parents[1].rglob("*.py"),):
        advice = [line for line in path.read_text().splitlines() if "dvc gc" in line]
        assert all("Not `dvc gc" in line for line in advice), path


def test_no_heart_beats_unless_the_user_wants_it(
    end_stage: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []

    def flow(project: Project, clock: Any) -> None:
        from prefect.settings import get_current_settings

        found.append(get_current_settings().flows.heartbeat_frequency)

    monkeypatch.delenv("PREFECT_FLOWS_HEARTBEAT_FREQUENCY", raising=False)
    assert end_stage(flow) == 0
    monkeypatch.setenv("PREFECT_FLOWS_HEARTBEAT_FREQUENCY", "60")
    assert end_stage(flow) == 0
    assert found[0] is None
    assert found[1] is not None


def test_a_problem_of_the_user_is_one_sentence(
    end_stage: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert end_stage(raising(GraftError("data/a.jpg is gone", "Put it back"))) == 1
    assert capsys.readouterr().err == "\ntrain stopped: data/a.jpg is gone. Put it back.\n"


def test_a_full_disk_is_one_sentence(end_stage: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert end_stage(raising(OSError(errno.ENOSPC, "No space left on device", "artifacts/x"))) == 1
    assert "train stopped: No space left on device at artifacts/x. Free some" in capsys.readouterr().err


def test_ctrl_c_is_130(end_stage: Callable[..., int]) -> None:
    assert end_stage(raising(KeyboardInterrupt())) == 130


def test_a_defect_shows_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "params.yaml").write_bytes((REPOSITORY / "params.yaml").read_bytes())
    monkeypatch.setattr(stage_runner, "find_project", lambda: Project(tmp_path))
    with pytest.raises(ZeroDivisionError):
        stage_runner.run_stage("train", raising(ZeroDivisionError()))


def test_only_what_may_pass_is_tried_again() -> None:
    class State:
        def __init__(self, outcome: Any) -> None:
            self.outcome = outcome

        def result(self, raise_on_failure: bool) -> Any:
            return self.outcome

    is_worth_a_retry = stage_runner.RETRIES["retry_condition_fn"]
    assert is_worth_a_retry(None, None, State(ConnectionError("busy")))
    assert not is_worth_a_retry(None, None, State(GraftError("a typo")))


def test_a_disk_that_is_full_for_the_times_too_is_one_sentence(
    end_stage: Callable[..., int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error = OSError(errno.ENOSPC, "No space left on device")

    def fail(clock: StageClock, folder: Path) -> None:
        raise error

    monkeypatch.setattr(StageClock, "write", fail)
    assert end_stage(raising(error)) == 1
    assert "train stopped: No space left on device" in capsys.readouterr().err
