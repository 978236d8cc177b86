"""What older versions kept directly in .graft, moved into its two folders."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

from graft.core import old_layout
from graft.core.errors import GraftError
from graft.core.old_layout import CACHES, STATE
from graft.core.project import Project, find_project


@pytest.fixture
def old(tmp_path: Path, no_outside_settings: None) -> Project:
    """A project as an older version left it."""
    for name in ("params.yaml", "dvc.yaml"):
        (tmp_path / name).touch()
    graft = tmp_path.resolve() / ".graft"
    for path in (
        *("cache/features/a.npy", "scan.sqlite", "timings/train@frozen.json", "models/abc/MLmodel"),
        *(
            "predictions/part.parquet",
            "retrain/history.jsonl",
            "retrain/open.json",
            "prefect/prefect.db",
        ),
        *(
            "checkpoints/frozen-1/state",
            "sweeps/sweeps.sqlite",
            "schedule.json",
            "project.lock",
            "mlflow.lock",
        ),
        "supervisord.log",
    ):
        (graft / path).parent.mkdir(parents=True, exist_ok=True)
        (graft / path).write_text(path)
    return Project(tmp_path.resolve())


def everything(project: Project) -> dict[str, str]:
    graft = project.state.parent
    return {p.relative_to(graft).as_posix(): p.read_text() for p in graft.rglob("*") if p.is_file()}


MOVED = {
    "cache/features/a.npy": "cache/features/a.npy",
    "cache/scan.sqlite": "scan.sqlite",
    "cache/timings/train@frozen.json": "timings/train@frozen.json",
    "cache/models/abc/MLmodel": "models/abc/MLmodel",
    "state/predictions/part.parquet": "predictions/part.parquet",
    "state/retrain/history.jsonl": "retrain/history.jsonl",
    "state/retrain/open.json": "retrain/open.json",
    "state/prefect/prefect.db": "prefect/prefect.db",
    "state/checkpoints/frozen-1/state": "checkpoints/frozen-1/state",
    "state/sweeps/sweeps.sqlite": "sweeps/sweeps.sqlite",
    "state/schedule.json": "schedule.json",
    "supervisord.log": "supervisord.log",
}


def test_b14_an_older_projects_files_are_moved_into_cache_and_state_once(old: Project) -> None:
    project = find_project(old.root)
    assert everything(project) == MOVED
    assert project.scan_memory.is_file()
    assert (project.prediction_log / "part.parquet").is_file()
    assert (project.retraining / "open.json").is_file()
    find_project(old.root)
    assert everything(project) == MOVED


def test_b14_what_cannot_be_made_again_is_in_no_folder_that_may_be_deleted(
    tmp_path: Path, no_outside_settings: None
) -> None:
    project = Project(tmp_path)
    lasting = [project.prediction_log, project.retraining, project.sweeps]
    lasting += [
        project.checkpoints,
        project.replaced,
        project.staging,
        project.prefect,
        project.drift_reports,
    ]
    for path in lasting:
        assert path.is_relative_to(project.state)
        assert not path.is_relative_to(project.own_cache)
    caches = [project.cache, project.features, project.scan_memory, project.timings, project.inspection]
    for path in [*caches, project.fetched_models]:
        assert path.is_relative_to(project.own_cache)


@pytest.mark.parametrize("moves", range(9))
def test_b14_a_kill_after_any_move_leaves_the_rest_to_the_next_command(old: Project, moves: int) -> None:
    program = f"""
import os, pathlib
from graft.core.project import find_project
rename, left = pathlib.Path.rename, [{moves}]
def killed(self, target):
    if not left[0]:
        os._exit(9)
    left[0] -= 1
    return rename(self, target)
pathlib.Path.rename = killed
find_project()
"""
    code = subprocess.run([sys.executable, "-c", program], cwd=old.root).returncode
    assert code == 9
    find_project(old.root)
    assert everything(old) == MOVED


def test_b14_nothing_is_moved_from_under_a_command_of_an_older_version(
    old: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(old_layout, "PATIENCE_SECONDS", 0.0)
    before = everything(old)
    with FileLock(old.state.parent / "project.lock"), pytest.raises(GraftError, match="older version"):
        find_project(old.root)
    assert everything(old) == before


def test_b14_what_an_older_version_made_after_the_move_replaces_nothing(old: Project) -> None:
    find_project(old.root)
    graft = old.state.parent
    (graft / "schedule.json").write_text("later")
    find_project(old.root)
    assert (graft / "schedule.json").read_text() == "later"
    assert (old.state / "schedule.json").read_text() == "schedule.json"


def test_b14_a_folder_that_cannot_be_written_is_named(old: Project) -> None:
    if os.geteuid() == 0:
        (old.state.parent / "state").write_text("a file where the folder should be")
    else:
        old.state.parent.chmod(0o500)
    try:
        with pytest.raises(GraftError, match="cannot be (moved|written)"):
            find_project(old.root)
    finally:
        old.state.parent.chmod(0o700)


def test_every_old_name_has_one_place() -> None:
    assert len({*CACHES, *STATE}) == len(CACHES) + len(STATE)
