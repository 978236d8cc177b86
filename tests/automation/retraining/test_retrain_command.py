"""`graft retrain` where it starts no run."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from quick import in_this_process, make_quick_project
from small_project import deliver

from graft.automation.retraining.deliveries import Delivery
from graft.automation.retraining.idle import finish_idle
from graft.automation.retraining.outcome import OpenCommit, Outcome, read_open, write_open
from graft.automation.retraining.quarantine import quarantine, unacknowledged
from graft.automation.retraining.retrain_history import last_outcomes
from graft.automation.retraining.workspace import left_behind, open_workspace, remove_workspaces
from graft.cli.retrain import retrain
from graft.core.errors import GraftError
from graft.core.params import load_params
from graft.core.project import Project
from graft.core.yaml_text import read_yaml

AT = "2026-11-25T03:00:12+00:00"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return make_quick_project(tmp_path_factory.mktemp("command") / "project")


@pytest.fixture
def project(made: Project, monkeypatch: pytest.MonkeyPatch, no_outside_settings: None) -> Iterator[Project]:
    """A project to stand in; nothing may be started."""
    with in_this_process():
        monkeypatch.chdir(made.root)
        monkeypatch.setattr("graft.automation.prefect_server.shared_server", None)
        yield made


def test_l2_with_nothing_to_do_it_says_so(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    retrain(dry_run=True)
    assert capsys.readouterr().out == "Nothing to do.\n"


def change(project: Project, **retrain: object) -> None:
    params = read_yaml(project.params_file.read_bytes(), "params.yaml")
    project.params_file.write_text(json.dumps({**params, "retrain": {**params.get("retrain", {}), **retrain}}))


def stop_runs(project: Project) -> None:
    """Have a delivery that was refused stop all runs."""
    change(project, deliveries={"on_bad": "stop"})
    bad = Delivery("bad", (deliver(project.root / "bad", {"red": 1}),))
    quarantine(bad, project.root / "quarantine", datetime.now(UTC), ["No."], stops=True)


def test_with_nothing_to_do_no_flow_is_started_and_the_run_is_recorded(
    quick_project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(quick_project.root)
    monkeypatch.setattr("graft.automation.prefect_server.shared_server", None)
    change(quick_project, heartbeat=".graft/beat.json")
    retrain()
    assert "nothing to do" in capsys.readouterr().out
    assert json.loads((quick_project.root / ".graft/beat.json").read_text())["outcome"] == "nothing to do"
    (run,) = last_outcomes(quick_project, 100)
    assert (run.events, run.failure, run.open) == (["nothing"], "", [])
    with pytest.raises(TypeError):  # the server that stands in is None
        retrain(force=True)


@pytest.mark.parametrize(
    "begin",
    [
        pytest.param(lambda project: deliver(project.root / "inbox/week", {"red": 1}), id="a delivery"),
        pytest.param(lambda project: (project.root / "inbox/week.zip.part").write_bytes(b"half"), id="arriving"),
        pytest.param(
            lambda project: deliver(project.root / "inbox/done/2020-01-01T030000-week", {"red": 1}),
            id="put away long ago",
        ),
        pytest.param(lambda project: open_workspace(project, "main", "killed"), id="a run that was cut off"),
        pytest.param(
            lambda project: write_open(
                project, [OpenCommit("run", AT, "main", "1" * 40, {}, Outcome(AT, "colours").as_record(), ("push",))]
            ),
            id="open work",
        ),
        pytest.param(lambda project: next(project.data.rglob("*.png")).unlink(), id="a change of data"),
        pytest.param(lambda project: change(project, source={"command": "true"}), id="a command"),
        pytest.param(stop_runs, id="a stop of all runs"),
        pytest.param(
            lambda project: change(project, notify={"block": "slack/team", "events": ["nothing"]}), id="a message"
        ),
    ],
)
def test_whatever_there_is_to_do_is_a_flow(quick_project: Project, begin: Callable[[Project], object]) -> None:
    assert finish_idle(quick_project, load_params(quick_project.params_file)) is not None
    begin(quick_project)
    assert finish_idle(quick_project, load_params(quick_project.params_file)) is None
    assert len(last_outcomes(quick_project, 100)) == 1


def test_where_bad_deliveries_stop_all_runs_and_none_was_refused_no_flow_is_started(quick_project: Project) -> None:
    change(quick_project, deliveries={"on_bad": "stop"})
    assert finish_idle(quick_project, load_params(quick_project.params_file)) is not None


def test_a_dry_run_says_what_would_be_taken_in_and_moves_nothing(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    week = deliver(project.root / "inbox/week", {"red": 6})
    (week / "red/phone.cr2").write_bytes(b"unread")
    deliver(project.root / "inbox/strange", {"green": 1})
    retrain(dry_run=True)
    printed = capsys.readouterr().out
    assert "- Why: 6 new images in week" in printed
    assert "- week: would be taken in, 6 red; 1 image left out: 1 in the format CR2" in printed
    assert "- strange: would be quarantined; 1 of its 1 images cannot be used" in printed
    assert sorted(path.name for path in (project.root / "inbox").iterdir()) == ["strange", "week"]
    assert not (project.root / "quarantine").exists()


def test_m7_what_a_killed_run_has_left_is_still_there_for_the_next_run(project: Project) -> None:
    open_workspace(project, "main", "killed")
    retrain(dry_run=True)
    retrain(abandon=True)
    assert left_behind(project) == ["killed"]
    remove_workspaces(project)


def test_b4_giving_up_says_what_was_open(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = Outcome(AT, "colours").as_record()
    write_open(project, [OpenCommit("run", AT, "main", "1" * 40, {}, outcome, ("judge", "push"))])
    retrain(abandon=True)
    assert capsys.readouterr().out == "Given up: commit 1111111111 of 2026-11-25 03:00 UTC: judge, push\n"
    assert read_open(project) == []
    retrain(abandon=True)
    assert capsys.readouterr().out == "Nothing was open.\n"


def test_b7_only_what_stops_runs_can_be_acknowledged(project: Project) -> None:
    with pytest.raises(GraftError, match="No delivery 'week' waits to be acknowledged"):
        retrain(accept="week")


def test_b7_a_delivery_is_acknowledged_by_its_name(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = project.root / "quarantine"
    bad = Delivery("bad", (deliver(tmp_path / "bad", {"red": 1}),))
    quarantine(bad, folder, datetime.now(UTC), ["No."], stops=True)
    assert unacknowledged(folder) == ["bad"]
    retrain(accept="bad")
    assert unacknowledged(folder) == []
    assert capsys.readouterr().out.startswith("bad stops no more runs; it stays in ")
    assert list(folder.rglob("*.png"))
