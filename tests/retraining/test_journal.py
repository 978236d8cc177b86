"""The journal of a retraining: what it holds, and that all that was changed since can be taken back."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
from small_project import copied, deliver, make_small_project, picture, pictures_in, shell

from graft.data import versioning
from graft.errors import GraftError
from graft.params.load import parse_text
from graft.project import Project
from graft.retraining.journal import (
    Journal,
    TakenIn,
    close_journal,
    note,
    open_journal,
    read_journal,
    take_back,
)
from graft.retraining.retraining import Retraining

WEEK = TakenIn("week", ["inbox/week"], {"red": 2}, [["", "red/1.png", "cannot be read"]], ["A note."])
JOURNAL = Journal("0" * 32, "2026-11-25T03:00:00+00:00", "a flow run", "2 new images in week", [WEEK])
# Files that git sees below artifacts/, as a stage's outputs with `cache: false` are.
METRICS, NOTES = Path("artifacts/train/metrics.json"), Path("artifacts/old/notes.json")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A small project whose first stage has run, committed; to be copied."""
    project = make_small_project(tmp_path_factory.mktemp("journal") / "project")
    dvc(project, "repro", "-q", "train")
    (project.root / NOTES).parent.mkdir()
    (project.root / NOTES).write_text("{}")
    shell(project.root, "git", "add", "-A")
    shell(project.root, "git", "commit", "-q", "-m", "Trained")
    return project


@pytest.fixture
def project(trained: Project, tmp_path: Path) -> Project:
    return copied(trained, tmp_path / "project")


def dvc(project: Project, *arguments: str) -> str:
    return shell(project.root, sys.executable, "-m", "dvc", *arguments)


def state_of(project: Project) -> dict[str, bytes | None]:
    """Every file that a retraining may change, except in .graft."""
    root = project.root
    paths = [path for folder in ("data", "artifacts") for path in (root / folder).rglob("*")]
    paths += [root / "data.dvc", root / "dvc.lock", root / "params.yaml"]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths if path.is_file()}


def change_everything(project: Project) -> None:
    """Data, pointer, lock and outputs, as a run does; one output is new, and one is gone."""
    deliver(project.data, {"red": 2})
    (project.data / "blue/0.png").unlink()
    versioning.add(project)
    dvc(project, "repro", "-q", "train")
    (project.root / NOTES).unlink()
    (project.root / "artifacts/train/new.json").write_text("{}")


def test_what_was_written_down_is_read_again(project: Project) -> None:
    assert read_journal(project) is None
    open_journal(project, JOURNAL)
    assert read_journal(project) == JOURNAL
    noted = note(project, JOURNAL, commit="c" * 40, deliveries=[])
    assert (noted.commit, noted.deliveries, noted.reason) == ("c" * 40, [], JOURNAL.reason)
    assert read_journal(project) == noted
    close_journal(project)
    assert read_journal(project) is None
    assert list(project.retraining.iterdir()) == []
    close_journal(project)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"run": "0',
        b"[]",
        b"\xff\xfe",
        b'{"run": "0", "at": ""}',
        b'{"run": "0", "at": "", "deliveries": [{"name": "week"}]}',
        b'{"run": "0", "at": "", "deliveries": [], "from a later version": 1}',
    ],
)
def test_what_is_no_journal_is_an_error_that_says_what_to_do(tmp_path: Path, content: bytes) -> None:
    project = Project(tmp_path)
    project.retraining_journal.mkdir(parents=True)
    (project.retraining_journal / "journal.json").write_bytes(content)
    with pytest.raises(GraftError, match=r"journal\.json cannot be read .*Restore data\.dvc and dvc\.lock"):
        read_journal(project)


@pytest.mark.slow
def test_all_that_was_changed_is_taken_back_as_often_as_it_takes(project: Project) -> None:
    before = state_of(project)
    assert {METRICS.as_posix(), NOTES.as_posix(), "artifacts/train/model.txt"} <= before.keys()
    open_journal(project, JOURNAL)
    change_everything(project)
    names = set(before) | set(state_of(project))
    changed = {name for name in names if before.get(name) != state_of(project).get(name)}
    assert changed >= {"data.dvc", "dvc.lock", "data/red/1000.png", "data/blue/0.png", METRICS.as_posix()}
    for _ in range(2):
        take_back(project)
        assert state_of(project) == before
        assert read_journal(project) == JOURNAL
    close_journal(project)
    assert shell(project.root, "git", "status", "--short") == ""
    assert json.loads(dvc(project, "status", "--json", "data.dvc", "train")) == {}


@pytest.mark.slow
def test_a_run_that_was_cut_off_while_taking_back_is_taken_back_by_the_next(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = state_of(project)
    open_journal(project, JOURNAL)
    change_everything(project)

    def cut_off(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("graft.retraining.journal.uncached_outputs", cut_off)
        take_back(project)
    assert state_of(project) != before
    take_back(project)
    assert state_of(project) == before


@pytest.mark.slow
def test_images_put_into_data_by_hand_survive(project: Project) -> None:
    pointer = versioning.pointer_file(project).read_bytes()
    picture("blue", 4001).save(project.data / "blue/by_hand.png")
    (project.data / "red/100.png").unlink()
    before = pictures_in(project)
    open_journal(project, JOURNAL)
    shutil.rmtree(project.data / "blue")
    deliver(project.data, {"red": 2})
    versioning.add(project)
    take_back(project)
    assert pictures_in(project) == before
    # As before, data/ is ahead of what data.dvc says: nobody has taken it in.
    assert versioning.pointer_file(project).read_bytes() == pointer


@pytest.mark.slow
def test_what_was_not_there_is_not_there_again(project: Project) -> None:
    """Before the first run of a pipeline there is no dvc.lock."""
    (project.root / "dvc.lock").unlink()
    shutil.rmtree(project.root / "artifacts")
    open_journal(project, JOURNAL)
    dvc(project, "repro", "-q", "train")
    take_back(project)
    assert not (project.root / "dvc.lock").exists()
    assert not (project.root / METRICS).exists()


@pytest.mark.slow
def test_what_came_into_an_empty_data_from_the_remote_is_told_from_what_was_added(
    project: Project, tmp_path: Path
) -> None:
    before = state_of(project)
    dvc(project, "remote", "add", "-q", "-d", "store", str(tmp_path / "store"))
    dvc(project, "push", "-q", "data.dvc")
    shutil.rmtree(project.data)
    text = project.params_file.read_text(encoding="utf-8").replace("remote: none ", "remote: pull ")
    retraining = Retraining(project, parse_text(text))
    retraining.bring_in()
    assert state_of(project) == before
    change_everything(project)
    take_back(project)
    assert state_of(project) == before


def test_the_old_data_returns_that_a_swap_had_moved_aside(project: Project) -> None:
    before = state_of(project)
    open_journal(project, JOURNAL)
    staging = project.state / "staging"
    deliver(staging / "incoming/data", {"red": 1})
    (staging / "import.json").write_text("{}")
    project.data.rename(staging / "previous")
    take_back(project)
    assert state_of(project) == before
    assert not staging.exists()


def test_a_journal_that_cannot_be_opened_is_none(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(project: Project) -> None:
        raise GraftError("The disk is full")

    with monkeypatch.context() as patch, pytest.raises(GraftError, match="The disk is full"):
        patch.setattr(versioning, "add", fail)
        open_journal(project, JOURNAL)
    assert not project.retraining_journal.exists()
    # What is left of it does not get into the next one.
    (project.retraining / "journal.new/kept/artifacts").mkdir(parents=True, exist_ok=True)
    (project.retraining / "journal.new/kept/artifacts/wrong.json").write_text("{}")
    open_journal(project, JOURNAL)
    take_back(project)
    assert not (project.root / "artifacts/wrong.json").exists()


def test_without_git_there_is_no_retraining(project: Project) -> None:
    shutil.rmtree(project.root / ".git")
    with pytest.raises(GraftError, match="is not under git"):
        open_journal(project, JOURNAL)
    assert read_journal(project) is None


@pytest.mark.parametrize("is_open", [True, False])
def test_closing_removes_what_a_close_that_was_cut_off_left(tmp_path: Path, is_open: bool) -> None:
    project = Project(tmp_path)
    (project.retraining / "dropped-0/kept").mkdir(parents=True)
    (project.retraining / "dropped-0/kept/metrics.json").write_text("{}")
    (project.retraining / "incoming").mkdir()
    if is_open:
        project.retraining_journal.mkdir()
        (project.retraining_journal / "journal.json").write_text("{}")
    close_journal(project)
    assert [path.name for path in project.retraining.iterdir()] == ["incoming"]
