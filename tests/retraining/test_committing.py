"""Commits of a retraining: on any branch, and nothing else in the repository moves."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from small_project import shell

from graft.errors import GraftError
from graft.project import Project
from graft.retraining.committing import (
    branch_name,
    commit_files,
    commit_of,
    push,
    remove_stale_lock,
    settle_index,
)

RUN = "0" * 31 + "1"
FILES = [Path("data.dvc"), Path("params.yaml")]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    root = tmp_path / "project"
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    git(root, "config", "user.name", "a tester")
    git(root, "config", "user.email", "tester@localhost")
    for name in ("data.dvc", "params.yaml", "code.py"):
        (root / name).write_text("first\n")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "First")
    (root / "data.dvc").write_text("second\n")
    return Project(root)


def git(root: Path, *arguments: str) -> str:
    return shell(root, "git", *arguments)


def test_on_the_current_branch_it_is_the_next_commit(project: Project) -> None:
    commit = commit_files(project, branch_name(project, "current"), FILES, "Retrain", RUN)
    assert git(project.root, "rev-parse", "HEAD") == commit
    assert git(project.root, "status", "--short") == ""
    assert git(project.root, "show", "--stat", "--format=%s", "HEAD").startswith("Retrain")
    assert commit_of(project, "current", RUN) == commit
    assert commit_of(project, "current", "another run") == ""


def test_what_the_user_has_staged_or_changed_stays_as_it_is(project: Project) -> None:
    (project.root / "code.py").write_text("staged\n")
    git(project.root, "add", "code.py")
    (project.root / "code.py").write_text("and changed again\n")
    commit_files(project, "main", FILES, "Retrain", RUN)
    assert git(project.root, "status", "--short") == "MM code.py"
    assert git(project.root, "show", "HEAD:code.py") == "first"


def test_on_another_branch_nothing_that_is_checked_out_moves(project: Project) -> None:
    before = git(project.root, "rev-parse", "HEAD")
    commit = commit_files(project, branch_name(project, "nightly"), FILES, "Retrain", RUN)
    assert git(project.root, "rev-parse", "HEAD") == before
    assert git(project.root, "status", "--short") == "M data.dvc"
    assert git(project.root, "show", "nightly:data.dvc") == "second"
    assert commit_of(project, "nightly", RUN) == commit


def test_another_branch_takes_over_what_was_committed_since(project: Project) -> None:
    first = commit_files(project, "nightly", FILES, "Retrain", RUN)
    (project.root / "code.py").write_text("better\n")
    git(project.root, "commit", "-q", "-m", "Better code", "code.py")
    (project.root / "data.dvc").write_text("third\n")
    second = commit_files(project, "nightly", FILES, "Retrain", RUN)
    parents = git(project.root, "log", "-1", "--format=%P", second).split()
    assert parents == [first, git(project.root, "rev-parse", "HEAD")]
    assert git(project.root, "show", "nightly:code.py") == "better"


def test_without_a_change_there_is_no_commit(project: Project) -> None:
    first = commit_files(project, "main", FILES, "Retrain", RUN)
    assert commit_files(project, "main", FILES, "Retrain", "another") == first


def test_a_file_that_is_gone_is_gone_from_the_commit(project: Project) -> None:
    (project.root / "params.yaml").unlink()
    commit = commit_files(project, "main", FILES, "Retrain", RUN)
    assert git(project.root, "ls-tree", "--name-only", commit).split() == ["code.py", "data.dvc"]


def test_an_account_without_a_name_can_commit(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    git(project.root, "config", "--unset", "user.name")
    git(project.root, "config", "--unset", "user.email")
    git(project.root, "config", "user.useConfigOnly", "true")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    commit = commit_files(project, "main", FILES, "Retrain", RUN)
    assert git(project.root, "log", "-1", "--format=%an %cn", commit) == "graft graft"


def test_cut_off_before_the_index_it_is_settled_by_the_next(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graft.retraining.committing.settle_index", lambda *arguments: None)
    commit_files(project, "main", FILES, "Retrain", RUN)
    assert git(project.root, "status", "--short") == "MM data.dvc"
    settle_index(project, "main", FILES)
    assert git(project.root, "status", "--short") == ""


def test_without_a_branch_the_current_one_is_an_error(project: Project) -> None:
    git(project.root, "checkout", "-q", "--detach")
    with pytest.raises(GraftError, match="No branch is checked out"):
        branch_name(project, "current")
    with pytest.raises(GraftError, match="check-ref-format"):
        branch_name(project, "no..name")


def test_pushing(project: Project, tmp_path: Path) -> None:
    remote = tmp_path / "remote.git"
    git(tmp_path, "init", "-q", "--bare", str(remote))
    git(project.root, "remote", "add", "origin", str(remote))
    commit = commit_files(project, "nightly", FILES, "Retrain", RUN)
    push(project, "origin", "nightly", 60)
    assert git(remote, "rev-parse", "nightly") == commit
    with pytest.raises(GraftError, match="push"):
        push(project, "nowhere", "nightly", 60)


def test_a_lock_that_a_killed_git_left_is_removed_and_an_older_one_is_not(project: Project) -> None:
    lock = project.root / ".git/index.lock"
    now = time.time()
    lock.touch()
    os.utime(lock, (now - 100, now - 100))
    assert not remove_stale_lock(project, now - 50)
    assert remove_stale_lock(project, now - 150)
    assert not lock.exists()
    assert not remove_stale_lock(project, now - 150)
