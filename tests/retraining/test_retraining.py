"""Whole retrainings of a small project: what they leave, and that a failure or a kill leaves nothing half done."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from small_project import (
    MODEL,
    copied,
    deliver,
    make_small_project,
    picture,
    pictures_in,
    retrain,
    shell,
)

from graft.project import Project
from graft.promotion.promote import open_registry
from graft.retraining.retraining import HISTORY_FILE

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_outside_settings")]
NEW = {"red": 3, "blue": 2}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project after its first run, with a champion; to be copied."""
    project = make_small_project(tmp_path_factory.mktemp("small") / "project")
    done = retrain(project.root)
    assert done.returncode == 0, done.stderr
    return project


@pytest.fixture
def project(trained: Project, tmp_path: Path) -> Project:
    return copied(trained, tmp_path / "project")


def last(project: Project) -> dict[str, Any]:
    """What the last run came to."""
    lines = (project.retraining / HISTORY_FILE).read_text(encoding="utf-8").splitlines()
    return dict(json.loads(lines[-1]))


def state_of(project: Project) -> dict[str, Any]:
    """All that a failed run must leave as it was."""
    root = project.root
    return {
        "pictures": pictures_in(project),
        "pointer": (root / "data.dvc").read_text(),
        "lock": (root / "dvc.lock").read_text(),
        "model": (root / "artifacts/train/model.txt").read_text(),
        "metrics": (root / "artifacts/train/metrics.json").read_text(),
        "commit": shell(root, "git", "rev-parse", "HEAD"),
        "changes": shell(root, "git", "status", "--short"),
        "dvc": shell(root, sys.executable, "-m", "dvc", "status", "--json"),
        "aliases": dict(open_registry(project, MODEL).line().aliases),
    }


def is_finished(project: Project, images: int, commits: int) -> None:
    """What must hold after a run, whatever had happened before it."""
    root = project.root
    line = open_registry(project, MODEL).line()
    newest = json.loads((root / "artifacts/register/registered.json").read_text())["version"]
    assert len(pictures_in(project)) == images
    assert shell(root, "git", "status", "--short") == ""
    assert shell(root, sys.executable, "-m", "dvc", "status", "--json") == "{}"
    assert shell(root, "git", "rev-list", "--count", "HEAD") == str(commits)
    assert (line.champion, line.begun) == (newest, ())
    assert not project.retraining_journal.exists()
    assert not (root / ".git/index.lock").exists()


def test_a_delivery_becomes_data_a_commit_and_a_champion(project: Project) -> None:
    deliver(project.root / "inbox/week", NEW)
    deliver(project.root / "inbox/strange", {"green": 2})
    done = retrain(project.root)
    assert done.returncode == 0, done.stderr
    is_finished(project, images=13, commits=3)
    outcome = last(project)
    assert outcome["reasons"] == ["5 new images in week"]
    assert {one["name"]: one["verdict"] for one in outcome["deliveries"]} == {
        "strange": "quarantined",
        "week": "taken in",
    }
    assert outcome["events"] == ["promoted", "quarantined"]
    assert outcome["champion"] == "2"
    (place,) = (project.root / "quarantine").iterdir()
    assert (place / "strange/green").is_dir()
    entry = open_registry(project, MODEL).line().entries[-1]
    assert entry.reason == "retraining: 5 images of week"


def test_with_nothing_to_do_nothing_is_done(project: Project) -> None:
    before = state_of(project)
    done = retrain(project.root)
    assert done.returncode == 0, done.stderr
    assert state_of(project) == before
    assert last(project)["events"] == ["nothing"]
    assert "Running stage" not in done.stdout


def test_a_pipeline_that_fails_leaves_everything_as_it_was_and_the_delivery_waits(project: Project) -> None:
    before = state_of(project)
    deliver(project.root / "inbox/week", NEW)
    picture("red", 4000).save(project.root / "inbox/week/red/poison.png")
    done = retrain(project.root)
    assert done.returncode != 0
    assert state_of(project) == before
    assert (project.root / "inbox/week/red/poison.png").exists()
    assert last(project)["events"] == ["failed"]
    (project.root / "inbox/week/red/poison.png").unlink()
    assert retrain(project.root).returncode == 0
    is_finished(project, images=13, commits=3)


def test_images_that_were_put_into_data_by_hand_survive_a_failure(project: Project) -> None:
    picture("blue", 4001).save(project.data / "blue/by_hand.png")
    before = pictures_in(project)
    deliver(project.root / "inbox/week", NEW)
    picture("red", 4000).save(project.root / "inbox/week/red/poison.png")
    assert retrain(project.root).returncode != 0
    assert pictures_in(project) == before


def test_data_changed_by_hand_is_a_reason(project: Project) -> None:
    picture("blue", 4001).save(project.data / "blue/by_hand.png")
    assert retrain(project.root).returncode == 0
    is_finished(project, images=9, commits=3)
    assert last(project)["reasons"] == ["data/ changed since the last run"]


# Each of 121 points was tried once; here the stretches of a run have one each.
@pytest.mark.parametrize("point", [9, 31, 60, 84, 97, 104])
def test_killed_at_any_point_the_next_run_finishes_the_work(project: Project, point: int) -> None:
    deliver(project.root / "inbox/week", NEW)
    before = pictures_in(project)
    assert retrain(project.root, str(point)).returncode == -9
    torn = pictures_in(project) if project.data.exists() else before
    assert len(torn) in (len(before), len(before) + 5)
    done = retrain(project.root)
    assert done.returncode == 0, done.stderr
    is_finished(project, images=13, commits=3)
    assert [path.name[18:] for path in (project.root / "inbox/done").iterdir()] == ["week"]


def test_a_second_run_stays_out_while_one_is_at_work(project: Project) -> None:
    from graft.project_lock import project_lock

    deliver(project.root / "inbox/week", NEW)
    with project_lock(project):
        done = retrain(project.root)
    assert "ProjectBusyError" in done.stderr
    assert (project.root / "inbox/week").exists()


def test_other_commands_wait_until_a_run_that_was_cut_off_is_dealt_with(project: Project) -> None:
    from graft.errors import GraftError
    from graft.project_lock import project_lock

    project.retraining_journal.mkdir(parents=True)
    with pytest.raises(GraftError, match="graft retrain"), project_lock(project):
        pass
    with project_lock(project, by_retraining=True):
        pass
