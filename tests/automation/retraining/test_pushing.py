"""A retraining that pushes what it made: to a git remote and to DVC's, and with nobody there to take it."""

import hashlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from quick import in_this_process, make_quick_project, retrain
from small_project import deliver, pictures_in, shell

from graft.automation.retraining.outcome import read_open
from graft.core.project import Project

pytestmark = pytest.mark.usefixtures("no_outside_settings")


@dataclass(frozen=True)
class Pushing:
    """A project, its two remotes, and what its retrainings came to."""

    project: Project
    git_remote: Path
    dvc_remote: Path

    def run(self) -> dict[str, Any]:
        """One retraining; its outcome, with what is where right after it."""
        with in_this_process():
            outcome = retrain(self.project)
        return {
            **outcome.as_record(),
            "head": git(self.project.root, "rev-parse", "HEAD"),
            "changes": git(self.project.root, "status", "--short"),
            "left": [step for one in read_open(self.project) for step in one.todo],
            "branches": git(self.git_remote, "for-each-ref", "--format=%(refname:short) %(objectname)")
            if self.git_remote.exists()
            else None,
            "objects": {"".join(path.parts[-2:]) for path in self.dvc_remote.glob("files/md5/*/*")},
        }


def git(root: Path, *arguments: str) -> str:
    return shell(root, "git", *arguments)


def md5_of(*files: Path) -> set[str]:
    """What DVC calls files in its remotes."""
    return {hashlib.md5(file.read_bytes()).hexdigest() for file in files}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Pushing:
    """A project after its first run, which pushes from now on; there is no git remote yet."""
    folder = tmp_path_factory.mktemp("pushing")
    pushing = Pushing(make_quick_project(folder / "project"), folder / "team.git", folder / "store")
    root = pushing.project.root
    git(root, "remote", "add", "origin", str(pushing.git_remote))
    shell(root, sys.executable, "-m", "dvc", "remote", "add", "-q", "-d", "team", str(pushing.dvc_remote))
    params = (root / "params.yaml").read_text(encoding="utf-8")
    for old, new in {'push: "" ': "push: origin ", "push_data: false ": "push_data: true "}.items():
        assert params.count(old) == 1
        params = params.replace(old, new)
    (root / "params.yaml").write_text(params, encoding="utf-8")
    git(root, "commit", "-q", "-a", "-m", "Push what was trained")
    return pushing


@pytest.fixture(scope="module")
def unheard(trained: Pushing) -> dict[str, Any]:
    """A retraining that finds no remote where origin should be."""
    deliver(trained.project.root / "inbox/week-1", {"red": 2, "blue": 1})
    return trained.run()


@pytest.fixture(scope="module")
def heard(trained: Pushing, unheard: dict[str, Any]) -> dict[str, Any]:
    """The next one, with the remote there."""
    git(trained.git_remote.parent, "init", "-q", "--bare", str(trained.git_remote))
    deliver(trained.project.root / "inbox/week-2", {"red": 1, "blue": 2}, first=3000)
    return trained.run()


def test_without_the_remote_everything_else_is_done(unheard: dict[str, Any]) -> None:
    assert unheard["reasons"] == ["3 new images in week-1"]
    assert unheard["events"] == ["failed", "promoted"]
    assert unheard["failure"] == ""
    assert unheard["champion"] == "11"
    assert unheard["commit"] == unheard["head"]
    assert unheard["changes"] == ""
    assert unheard["left"] == ["push"]


def test_that_it_was_not_pushed_is_told(unheard: dict[str, Any]) -> None:
    (sentence,) = unheard["open"]
    assert sentence.startswith("Not pushed: `git push` failed in ")
    assert "team.git" in sentence
    assert unheard["branches"] is None


def test_the_commit_is_in_the_remote_and_takes_the_one_before_along(
    trained: Pushing, unheard: dict[str, Any], heard: dict[str, Any]
) -> None:
    assert heard["open"] == heard["left"] == []
    assert heard["branches"] == f"main {heard['commit']}"
    assert heard["commit"] == heard["head"] != unheard["commit"]
    assert git(trained.git_remote, "rev-parse", "main~1") == unheard["commit"]


def test_new_images_of_both_are_in_dvc_s_remote(trained: Pushing, heard: dict[str, Any]) -> None:
    data = trained.project.data
    new = [data / name for name in pictures_in(trained.project) if int(Path(name).stem) >= 1000]
    assert len(new) == 6
    assert md5_of(*new) <= heard["objects"]


def test_what_the_pushed_data_dvc_names_can_be_had_elsewhere(trained: Pushing, heard: dict[str, Any]) -> None:
    beside = trained.git_remote.parent  # .dvc/config names DVC's remote by the way from there
    git(beside, "clone", "-q", "-b", "main", str(trained.git_remote), "elsewhere")
    clone = Project(beside / "elsewhere")
    shell(clone.root, sys.executable, "-m", "dvc", "pull", "-q")
    assert pictures_in(clone) == pictures_in(trained.project)
    assert len(pictures_in(clone)) == 14
    assert json.loads(shell(clone.root, sys.executable, "-m", "dvc", "status", "--json", "train")) == {}
