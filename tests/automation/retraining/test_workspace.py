"""The worktree of a retraining: what is in it, and what is left of it."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from quick import in_this_process, make_quick_project
from small_project import copied, picture, pictures_in, shell

from graft.automation.retraining.workspace import branch_name, fill, left_behind, open_workspace, remove_workspaces
from graft.core.errors import GraftError
from graft.core.project import Project


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return make_quick_project(tmp_path_factory.mktemp("workspace") / "project")


@pytest.fixture
def project(made: Project, tmp_path: Path) -> Iterator[Project]:
    with in_this_process():
        yield copied(made, tmp_path / "project")


def test_images_are_links_into_the_cache_and_caches_are_the_project_s(project: Project) -> None:
    space = open_workspace(project, "main", "run")
    fill(space)
    assert pictures_in(space.own) == pictures_in(project)
    assert space.own.home == project.root
    assert (space.own.root / "artifacts/train/model.txt").is_file()
    assert all(path.stat().st_nlink > 1 for path in space.own.data.rglob("*.png"))
    assert shell(project.root, "git", "status", "--short") == ""


def test_what_is_not_committed_is_in_it_and_an_inbox_is_not(project: Project) -> None:
    (project.root / "make.py").write_text("# mine\n")
    (project.root / "new.py").write_text("# new\n")
    # A stage that dvc.lock still has, and one that never ran.
    (project.root / "dvc.yaml").write_text("stages: {other: {cmd: x, deps: [data], outs: [artifacts/other.txt]}}\n")
    (project.root / "artifacts/train/metrics.json").unlink()
    (project.root / "arriving").mkdir()
    (project.root / "arriving/large.png").write_bytes(b"of a camera")
    picture("red", 5000).save(project.data / "red/by_hand.png")
    space = open_workspace(project, "main", "run", [project.root / "arriving"])
    fill(space)
    assert (space.own.root / "make.py").read_text() == "# mine\n"
    assert (space.own.root / "new.py").is_file()
    assert not (space.own.root / "artifacts/train/metrics.json").exists()
    assert not (space.own.root / "arriving").exists()
    assert pictures_in(space.own) == pictures_in(project)


def test_where_the_cache_is_gone_the_images_that_are_here_are_taken(project: Project) -> None:
    shutil.rmtree(project.root / ".dvc/cache")
    shutil.rmtree(project.artifacts("train"))
    space = open_workspace(project, "main", "run")
    fill(space)
    assert pictures_in(space.own) == pictures_in(project)


def test_images_that_dvc_does_not_know_yet_are_taken_and_tracked_there(project: Project) -> None:
    (project.root / "data.dvc").unlink()
    space = open_workspace(project, "main", "run")
    fill(space)
    assert pictures_in(space.own) == pictures_in(project)
    assert "path: data" in (space.own.root / "data.dvc").read_text()
    assert not (project.root / "data.dvc").exists()


def test_without_the_table_of_test_images_no_run_begins(project: Project) -> None:
    table = project.split_table("test")
    table.parent.mkdir(parents=True)
    table.write_text("sha256,label\n")
    (project.root / ".gitignore").write_text((project.root / ".gitignore").read_text() + "/artifacts/split\n")
    with pytest.raises(GraftError, match=r"lacks artifacts/split/test.csv, which says what is tested on"):
        fill(open_workspace(project, "main", "run"))


def test_a_change_of_data_on_both_branches_is_a_person_s_to_join(project: Project) -> None:
    shell(project.root, "git", "branch", "nightly")
    for branch, name in (("main", "one"), ("nightly", "two")):
        shell(project.root, "git", "checkout", "-q", branch)
        pointer = project.root / "data.dvc"
        pointer.write_text(pointer.read_text() + f"# {name}\n")
        shell(project.root, "git", "commit", "-qam", name)
    shell(project.root, "git", "checkout", "-q", "main")
    with pytest.raises(GraftError, match=r"nightly and what is checked out have both changed data.dvc"):
        open_workspace(project, "nightly", "run")


def test_all_that_is_left_is_removed_however_far_it_came(project: Project) -> None:
    open_workspace(project, "main", "first")
    space = open_workspace(project, "main", "second")
    entries = project.root / ".git/worktrees"
    (next(entries.iterdir()) / "locked").write_text("initializing")  # as git leaves it where it is killed
    assert left_behind(project) == ["first", "second"]
    remove_workspaces(project)
    assert left_behind(project) == []
    assert not space.own.root.exists()
    assert list(entries.glob("*")) == []
    remove_workspaces(project)


def test_without_a_branch_or_git_it_says_so(project: Project, tmp_path: Path) -> None:
    shell(project.root, "git", "checkout", "-q", "--detach")
    with pytest.raises(GraftError, match="No branch is checked out"):
        branch_name(project, "current")
    with pytest.raises(GraftError, match="check-ref-format"):
        branch_name(project, "no..name")
    shutil.rmtree(project.root / ".git")
    with pytest.raises(GraftError, match="is not under git"):
        branch_name(project, "current")
