"""git as a command."""

from __future__ import annotations

from pathlib import Path

import pytest

from graft.core.errors import GraftError
from graft.core.git import run_git, try_git


def test_what_git_says(tmp_path: Path) -> None:
    run_git(tmp_path, "init", "--quiet")
    assert run_git(tmp_path, "hash-object", "--stdin", text="") == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
    assert try_git(tmp_path, "rev-parse", "--verify", "HEAD") is None
    with pytest.raises(GraftError, match="not a git command"):
        run_git(tmp_path, "no-such-command")
