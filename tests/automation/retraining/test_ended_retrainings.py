"""However a retraining is ended, the next one finishes its work; and whole ones in processes of their own."""

import errno
import json
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
import small_project
from quick import count_things, in_a_child, retrain
from retrained import NEW, commits, dvc_status, is_clean
from small_project import MODEL, copied, deliver, make_small_project, pictures_in, shell

from graft.automation.retraining import landing
from graft.core import git
from graft.core.project import Project

pytestmark = pytest.mark.usefixtures("no_outside_settings")


@pytest.fixture
def project(quick_project: Project) -> Project:
    return quick_project


# Of 94 things that a run does, every eighth one, spread over the shards; GRAFT_TEST_EVERY=1 tries them all.
SHARDS = 4
EVERY = 8


def things_of(project: Project, folder: Path) -> list[str]:
    """What a run does, in a copy of the project."""
    other = copied(project, folder)

    def act() -> None:
        names = count_things(lambda name: None)
        retrain(other)
        (folder.with_name("names")).write_text("\n".join(names()))

    assert in_a_child(act) == 0
    return folder.with_name("names").read_text().splitlines()


@pytest.mark.slow
@pytest.mark.parametrize("way", ["killed", "disk full"])
@pytest.mark.parametrize("shard", range(SHARDS))
def test_however_a_run_ends_the_next_one_finishes_the_work(
    project: Project, tmp_path: Path, shard: int, way: str
) -> None:
    deliver(project.root / "inbox/week", NEW)
    (project.root / "inbox/week/red/IMG.CR2").write_bytes(b"from a phone")
    deliver(project.root / "inbox/strange", {"green": 2})
    before = pictures_in(project)
    names = things_of(project, tmp_path / "counted")
    assert len(names) > 80
    chosen = names[shard :: SHARDS * int(os.environ.get("GRAFT_TEST_EVERY", EVERY))]
    if way == "disk full":
        chosen = [name for name in chosen if name.split()[1] in ("mkdir", "copyfile", "replace", "rename")]
    for number, name in enumerate(chosen):
        one = copied(project, tmp_path / str(number))

        def end(now: str, name: str = name) -> None:
            if now == name and way == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            if now == name:
                raise OSError(errno.ENOSPC, "No space left on device")

        def act(one: Project = one, end: Any = end) -> None:
            count_things(end)
            retrain(one)

        code = in_a_child(act)
        # A folder that is there needs no room: then the run ends well all the same.
        assert code in ((-signal.SIGKILL,) if way == "killed" else (0, 1)), name
        assert before.items() <= pictures_in(one).items(), name
        assert in_a_child(lambda one=one: retrain(one)) == 0, name  # type: ignore[misc]
        is_clean(one, images=13)
        assert commits(one) == 3, name
        assert dvc_status(one) == "{}", name
        assert sorted(path.name for path in (one.root / "inbox").rglob("*.png") if "done" not in path.parts) == []
        done = [path.name for path in (one.root / "inbox/done").rglob("*.png")]
        assert len(done) == 5, name
        strange = list((one.root / "quarantine").rglob("*.png"))
        assert len(strange) == 2, name
        assert list((one.root / "quarantine").rglob("IMG.CR2")), name
        shutil.rmtree(one.root)


def test_the_lock_of_a_git_that_was_killed_with_the_run_is_removed(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(project.root / "inbox/week", NEW)
    monkeypatch.setattr(git, "_ABANDONED_SECONDS", 0.1)
    really = landing.run_git

    def killed(folder: Path, *arguments: str, **more: Any) -> str:
        if arguments[:2] == ("reset", "--quiet") and folder == project.root:
            (project.root / ".git/index.lock").write_bytes(b"half an index")
            os.kill(os.getpid(), signal.SIGKILL)
        return really(folder, *arguments, **more)

    def act() -> None:
        landing.run_git = killed
        retrain(project)

    assert in_a_child(act) == -signal.SIGKILL
    retrain(project)
    is_clean(project, images=13)


def test_the_lock_of_a_git_that_is_at_work_stays(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = project.root / ".git/index.lock"
    lock.write_bytes(b"")
    monkeypatch.setattr(git, "_ABANDONED_SECONDS", 0.1)
    command = ["git", "cat-file", "--batch"]
    with subprocess.Popen(command, cwd=project.root, stdin=subprocess.PIPE) as at_work:
        assert not git.remove_abandoned_lock(project.root)
        at_work.communicate(b"")
    assert lock.exists()
    assert git.remove_abandoned_lock(project.root)
    assert not lock.exists()


@pytest.mark.slow
def test_in_processes_of_its_own_with_mlflow_s_registry(tmp_path: Path) -> None:
    from graft.registry.promotion.promote import open_registry

    project = make_small_project(tmp_path / "project")
    deliver(project.root / "inbox/week", NEW)
    for _ in range(2):
        done = small_project.retrain(project.root)
        assert done.returncode == 0, done.stderr
    line = open_registry(project, MODEL).line()
    newest = json.loads((project.root / "artifacts/register/registered.json").read_text())["version"]
    assert line.champion == newest == "1"
    assert line.entries[-1].reason == "retraining: 5 images of week"
    assert shell(project.root, "git", "status", "--short") == ""
    assert len(pictures_in(project)) == 13
