"""Where a run came from: git, DVC, and what is not known."""

import subprocess
from pathlib import Path

import pytest

from graft.core.project import Project
from graft.registry.store.provenance import changed_files, git_tags, head_commit, provenance_tags

LOCK = """\
schema: '2.0'
stages:
  validate:
    cmd: python -m pipelines.validate
    outs:
    - path: artifacts/validate/manifest.parquet
      hash: md5
      md5: aaaa
  split:
    cmd: python -m pipelines.split
    outs:
    - path: artifacts/split/train.csv
      md5: bbbb
    - path: artifacts/split/test.csv
      md5: cccc
  train@frozen:
    outs:
    - path: artifacts/train/frozen/model
      md5: dddd.dir
"""


@pytest.fixture
def bare(tmp_path: Path, no_outside_settings: None, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A folder that no repository holds."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    return Project(tmp_path)


def git(project: Project, *arguments: str) -> str:
    settings = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *settings, *arguments], cwd=project.root, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_what_is_not_known_has_no_tag(bare: Project) -> None:
    assert provenance_tags(bare) == {}


def test_hashes_come_from_dvc_and_its_lock(bare: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    (bare.root / "dvc.lock").write_text(LOCK)
    (bare.root / "data.dvc").write_text("outs:\n- md5: eeee.dir\n  path: data\n")
    monkeypatch.setenv("DVC_STAGE", "train@frozen")
    monkeypatch.setenv("DVC_EXP_NAME", "brisk-otter")
    assert provenance_tags(bare) == {
        "dvc.stage": "train@frozen",
        "dvc.experiment": "brisk-otter",
        "dvc.data": "eeee.dir",
        "dvc.validate.manifest.parquet": "aaaa",
        "dvc.split.train.csv": "bbbb",
        "dvc.split.test.csv": "cccc",
    }


def test_the_commit_is_named_and_whether_files_differ_from_it(bare: Project) -> None:
    git(bare, "init", "-q")
    assert git_tags(bare) == {}  # no commit yet
    (bare.root / "params.yaml").write_text("a: 1\n")
    git(bare, "add", ".")
    git(bare, "commit", "-q", "-m", "first")
    assert git_tags(bare) == {"git.commit": git(bare, "rev-parse", "HEAD"), "git.dirty": "no"}
    (bare.root / "untracked").touch()
    assert git_tags(bare)["git.dirty"] == "no"
    (bare.root / "params.yaml").write_text("a: 2\n")
    assert git_tags(bare)["git.dirty"] == "yes"


@pytest.mark.parametrize("path", ["src/graft/new.py", "data.dvc", "params.yaml"])
def test_a_new_file_that_a_run_is_made_from_is_a_difference(bare: Project, path: str) -> None:
    git(bare, "init", "-q")
    git(bare, "commit", "-q", "--allow-empty", "-m", "first")
    (bare.root / path).parent.mkdir(parents=True, exist_ok=True)
    (bare.root / path).touch()
    assert git_tags(bare)["git.dirty"] == "yes"
    assert changed_files(bare) == [path]


def test_what_a_run_changes_by_itself_leaves_the_commit_clean(bare: Project) -> None:
    git(bare, "init", "-q")
    metrics = bare.artifacts("train") / "frozen" / "metrics.json"
    metrics.parent.mkdir(parents=True)
    for path in (bare.root / "dvc.lock", metrics):
        path.write_text("{}")
    git(bare, "add", ".")
    git(bare, "commit", "-q", "-m", "first")
    (bare.root / "dvc.lock").write_text("schema: '2.0'\n")
    metrics.unlink()  # as DVC does before a stage runs
    assert git_tags(bare)["git.dirty"] == "no"
    assert changed_files(bare) == ["artifacts/train/frozen/metrics.json", "dvc.lock"]
    assert changed_files(bare, "artifacts") == ["dvc.lock"]


def test_without_git_there_is_no_commit(bare: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert git_tags(bare) == {}
    assert head_commit(bare) is None
    assert changed_files(bare) is None
