"""DVC's list of readers and writers, after the processes in it were killed."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from graft.core.dvc_rwlock import clear_abandoned_rwlock


@pytest.fixture
def rwlock(tmp_path: Path) -> Path:
    path = tmp_path / ".dvc" / "tmp" / "rwlock"
    path.parent.mkdir(parents=True)
    return path


def named(pid: int) -> str:
    return json.dumps({"read": {}, "write": {"/somewhere": {"pid": pid, "cmd": "dvc repro"}}})


@pytest.mark.parametrize(
    "content",
    ["", '{"read": {"/some', "[]", named(os.getpid()), named(1)],
    ids=["empty", "half", "another kind", "this process", "the first process"],  # the same in all of xdist's workers
)
def test_what_a_killed_dvc_left_is_removed(rwlock: Path, content: str) -> None:
    """This process and the first one have the numbers, and are no DVC."""
    rwlock.write_text(content)
    assert clear_abandoned_rwlock(rwlock.parents[2])
    assert not rwlock.exists()


@pytest.mark.parametrize("content", ["{}", '{"read": {}, "write": {}}'])
def test_an_empty_list_stays(rwlock: Path, content: str) -> None:
    rwlock.write_text(content)
    assert not clear_abandoned_rwlock(rwlock.parents[2])
    assert rwlock.read_text() == content


def test_without_a_list_there_is_nothing_to_do(tmp_path: Path) -> None:
    assert not clear_abandoned_rwlock(tmp_path)


@pytest.mark.parametrize("words", [["-m", "dvc"], ["/somewhere/bin/dvc", "repro"]], ids=["a module", "a script"])
def test_while_a_dvc_is_at_work_here_its_list_stays_and_a_zombie_is_not_at_work(
    rwlock: Path, tmp_path: Path, words: list[str]
) -> None:
    root = rwlock.parents[2]
    (tmp_path / "dvc.py").write_text("import time; print(flush=True); time.sleep(60)")
    script = tmp_path / "bin" / "dvc"
    script.parent.mkdir()
    script.write_text((tmp_path / "dvc.py").read_text())
    command = [sys.executable, *([str(script), "repro"] if words[0] != "-m" else words)]
    rwlock.write_text(named(1))
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            assert not clear_abandoned_rwlock(root)
        finally:
            process.kill()
        while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.01)
        assert clear_abandoned_rwlock(root)
