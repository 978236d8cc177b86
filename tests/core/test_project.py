"""Where things lie, also inside DVC's temporary copies."""

from pathlib import Path

import pytest

from graft.core.errors import GraftError
from graft.core.project import Project, find_project


@pytest.fixture
def root(tmp_path: Path, no_outside_settings: None) -> Path:
    for name in ("params.yaml", "dvc.yaml"):
        (tmp_path / name).touch()
    return tmp_path.resolve()


def test_a_project_is_found_from_any_folder_below_it(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    below = root / "data" / "cat"
    below.mkdir(parents=True)
    assert find_project(below) == Project(root)
    monkeypatch.chdir(below)
    assert find_project() == Project(root)


def test_outside_a_project_the_error_says_what_one_is(root: Path, tmp_path: Path) -> None:
    (root / "dvc.yaml").unlink()
    with pytest.raises(GraftError, match="a project holds params.yaml and dvc.yaml"):
        find_project(tmp_path)


def test_what_a_stage_makes_lies_in_the_copy_and_what_is_kept_at_home(root: Path) -> None:
    copy = root / ".dvc" / "tmp" / "exps" / "tmpabc"
    copy.mkdir(parents=True)
    project = Project(copy)
    assert project.home == root
    assert project.artifacts("train") == copy / "artifacts" / "train"
    assert project.split_table("val") == copy / "artifacts" / "split" / "val.csv"
    assert project.strategy("frozen") == copy / "artifacts" / "train" / "frozen"
    assert project.data == copy / "data"
    assert project.tracking_uri == f"sqlite:///{root}/mlflow.db"
    assert project.mlflow_artifacts == root / "mlartifacts"
    assert project.state == root / ".graft" / "state"
    assert project.cache == root / ".graft" / "cache"


@pytest.mark.parametrize("folder", [".", ".dvc/tmp", "dvc/tmp/exps/one", ".dvc/tmp/other/exps"])
def test_any_other_folder_is_its_own_home(root: Path, folder: str) -> None:
    assert Project(root / folder).home == root / folder


def test_the_environment_moves_cache_and_store(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.setenv("GRAFT_CACHE", "~/cache")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    assert Project(root).cache == Path("/home/someone/cache")
    assert Project(root).tracking_uri == "http://127.0.0.1:5000"


@pytest.mark.parametrize(
    ("stated", "meant"),
    [
        ("sqlite:///mlflow.db", "sqlite:///{home}/mlflow.db"),
        ("sqlite:///runs/mlflow.db", "sqlite:///{home}/runs/mlflow.db"),
        ("file:mlruns", "file:{home}/mlruns"),
        ("./mlruns", "{home}/mlruns"),
        ("mlruns", "{home}/mlruns"),
        ("~/mlruns", "/home/someone/mlruns"),
        ("sqlite:////elsewhere/mlflow.db", "sqlite:////elsewhere/mlflow.db"),
        ("sqlite:///:memory:", "sqlite:///:memory:"),
        ("file:///elsewhere", "file:///elsewhere"),
        ("/elsewhere", "/elsewhere"),
        ("databricks", "databricks"),
        ("databricks://profile", "databricks://profile"),
        ("postgresql://host/name", "postgresql://host/name"),
    ],
)
def test_h4_a_relative_store_is_the_project_s_also_in_a_worktree(
    root: Path, monkeypatch: pytest.MonkeyPatch, stated: str, meant: str
) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", stated)
    for own in (Project(root), Project(root / ".dvc/tmp/exps/graft-retrain/run")):
        assert own.tracking_uri == meant.format(home=root)


def test_h4_and_so_is_a_relative_cache(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAFT_CACHE", "../cache")
    for own in (Project(root), Project(root / ".dvc/tmp/exps/graft-retrain/run")):
        assert own.cache == root / "../cache"


def test_case_19_a_copy_of_a_repository_knows_the_subfolder_that_is_the_project(root: Path) -> None:
    """DVC copies all of a repository; its own folder is at the top, or (`dvc init --subdir`) in the project."""
    below = root / "models" / "pets"
    below.mkdir(parents=True)
    (below / "dvc.yaml").touch()
    assert Project(root / ".dvc" / "tmp" / "exps" / "tmpabc" / "models" / "pets").home == below
    assert Project(below / ".dvc" / "tmp" / "exps" / "tmpabc" / "models" / "pets").home == below
    assert Project(root / ".dvc" / "tmp" / "exps" / "graft-retrain" / "1.ab").home == root
