"""`graft retrain` where it starts no run."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from quick import in_this_process, make_quick_project
from small_project import deliver

from graft.automation.retraining.outcome import OpenCommit, Outcome, read_open, write_open
from graft.automation.retraining.workspace import left_behind, open_workspace, remove_workspaces
from graft.cli.retrain import retrain
from graft.core.errors import GraftError
from graft.core.project import Project

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
    from datetime import UTC, datetime

    from graft.automation.retraining.deliveries import Delivery
    from graft.automation.retraining.quarantine import quarantine, unacknowledged

    folder = project.root / "quarantine"
    bad = Delivery("bad", (deliver(tmp_path / "bad", {"red": 1}),))
    quarantine(bad, folder, datetime.now(UTC), ["No."], stops=True)
    assert unacknowledged(folder) == ["bad"]
    retrain(accept="bad")
    assert unacknowledged(folder) == []
    assert capsys.readouterr().out.startswith("bad stops no more runs; it stays in ")
    assert list(folder.rglob("*.png"))
