"""git as a command."""

from pathlib import Path

import pytest

from graft.core.errors import GraftError
from graft.core.git import OwnerError, repository_top, run_git, try_git
from graft.core.project import Project
from graft.data.folder.versioning import dvc_init
from graft.registry.store.provenance import head_commit


def test_what_git_says(tmp_path: Path) -> None:
    run_git(tmp_path, "init", "--quiet")
    assert run_git(tmp_path, "hash-object", "--stdin", text="") == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
    assert try_git(tmp_path, "rev-parse", "--verify", "HEAD") is None
    with pytest.raises(GraftError, match="not a git command"):
        run_git(tmp_path, "no-such-command")


def test_case_13_a_repository_of_another_user_is_refused_with_gits_own_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_git(tmp_path, "init", "--quiet")
    assert repository_top(tmp_path) == tmp_path
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    monkeypatch.setenv("LANGUAGE", "de")  # the words of git are in the user's language, the setting is not
    cure = rf"belongs to another user. If you trust it: git config --global --add safe.directory {tmp_path}; else have"
    for ask in (
        lambda: repository_top(tmp_path),
        lambda: try_git(tmp_path, "status"),
        lambda: head_commit(Project(tmp_path)),
    ):
        with pytest.raises(OwnerError, match=cure):
            ask()


def test_case_19_the_repository_of_a_subfolder_is_found_by_asking_git(tmp_path: Path) -> None:
    below = tmp_path / "models" / "pets"
    below.mkdir(parents=True)
    assert repository_top(below) is None
    assert dvc_init(below) == "dvc init"
    run_git(tmp_path, "init", "--quiet")
    assert repository_top(below) == tmp_path
    assert (dvc_init(below), dvc_init(tmp_path)) == ("dvc init --subdir", "dvc init")
