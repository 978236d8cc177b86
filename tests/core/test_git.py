"""git as a command."""

from pathlib import Path

import pytest

from graft.core.errors import GraftError
from graft.core.git import OwnerError, leave_other_repository, repository_top, run_git, try_git, without_hooks
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


def test_case_13_the_repository_of_a_hook_or_a_shell_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a hook git names its repository by variables, and they hold in every folder."""
    own, other = tmp_path / "own", tmp_path / "other"
    for folder in (own, other):
        folder.mkdir()
        run_git(folder, "init", "--quiet")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    monkeypatch.setenv("GIT_INDEX_FILE", ".git/another")
    assert repository_top(own) == other
    leave_other_repository()
    assert repository_top(own) == own
    (own / "a").touch()
    run_git(own, "add", "a")
    assert (own / ".git" / "index").is_file()


@pytest.mark.parametrize("count", [None, "", "1"])
def test_case_11_a_hook_that_fails_stops_nothing_and_settings_of_the_environment_hold(
    count: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "pre-commit").write_text("#!/bin/sh\nexit 1\n")
    (hooks / "pre-commit").chmod(0o755)
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.delenv(f"GIT_{who}_NAME", raising=False)
        monkeypatch.setenv(f"GIT_{who}_EMAIL", "ada@example.org")
    config = tmp_path / "config"
    config.write_text(f"[user]\n\tname = Of the file\n[core]\n\thooksPath = {hooks}\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "user.name")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "Ada")
    monkeypatch.delenv("GIT_CONFIG_COUNT", raising=False)
    if count is not None:
        monkeypatch.setenv("GIT_CONFIG_COUNT", count)
    run_git(tmp_path, "init", "--quiet")
    run_git(tmp_path, "commit", "--quiet", "--allow-empty", "--message", "a", environment=without_hooks())
    assert run_git(tmp_path, "log", "--format=%an") == ("Ada" if count == "1" else "Of the file")
