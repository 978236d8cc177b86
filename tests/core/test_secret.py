"""The secret of a project: one, its owner's alone, and refused where it may not be one any more."""

import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from graft.core.errors import GraftError
from graft.core.project import Project
from graft.core.secret import password_for, project_secret, secret_file


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_a1_a_secret_is_made_once_and_is_its_owners_alone(project: Project) -> None:
    before = os.umask(0)
    try:
        secret = project_secret(project)
    finally:
        os.umask(before)
    path = secret_file(project)
    assert len(bytes.fromhex(secret)) == 32
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert project_secret(project) == secret
    other = Project(project.root / "other")
    assert project_secret(other) != secret


def test_a1_an_experiment_of_dvcs_has_its_projects_secret(project: Project) -> None:
    assert project_secret(Project(project.root / ".dvc" / "tmp" / "exps" / "x")) == project_secret(project)


def test_a1_processes_that_ask_at_the_same_time_get_the_same_secret(project: Project) -> None:
    ask = (
        "import sys, pathlib; from graft.core.project import Project; from graft.core.secret import project_secret;"
        "print(project_secret(Project(pathlib.Path(sys.argv[1]))))"
    )
    with ThreadPoolExecutor(4) as pool:
        command = [sys.executable, "-c", ask, str(project.root)]
        answers = list(pool.map(lambda _: subprocess.check_output(command, text=True, timeout=60), range(4)))
    assert len(set(answers)) == 1
    assert answers[0].strip() == project_secret(project)


def test_a1_each_purpose_has_a_password_of_its_own(project: Project) -> None:
    first = password_for(project, "prefect")
    assert first == password_for(project, "prefect")
    assert len({first, password_for(project, "mlflow"), project_secret(project)}) == 3
    secret_file(project).unlink()
    assert password_for(project, "prefect") != first


@pytest.mark.parametrize("content", ["", "\n", "0" * 63, "g" * 64, "0" * 64 + "\n" + "0" * 64])
def test_a1_a_damaged_secret_is_refused(project: Project, content: str) -> None:
    project_secret(project)
    secret_file(project).write_text(content)
    with pytest.raises(GraftError, match="is damaged") as refused:
        project_secret(project)
    assert "Delete" in refused.value.fix


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o602])
def test_a1_a_secret_that_others_can_read_is_refused(project: Project, mode: int) -> None:
    project_secret(project)
    secret_file(project).chmod(mode)
    with pytest.raises(GraftError, match="Other accounts can read") as refused:
        password_for(project, "prefect")
    assert "Delete" in refused.value.fix


def test_a1_a_folder_that_was_opened_is_closed_again(project: Project) -> None:
    secret = project_secret(project)
    secret_file(project).parent.chmod(0o755)
    assert project_secret(project) == secret
    assert secret_file(project).parent.stat().st_mode & 0o777 == 0o700


def test_a1_a_place_that_cannot_hold_a_secret_is_named(project: Project) -> None:
    project.state.mkdir(parents=True)
    (project.state / "private").write_text("a file")
    with pytest.raises(GraftError, match=r"private.*cannot be used"):
        project_secret(project)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as a second account")
def test_a1_a_second_account_cannot_read_the_secret() -> None:
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders keep everybody out
        Path(folder).chmod(0o755)
        project = Project(Path(folder))
        project_secret(project)
        command = ["cat", str(secret_file(project))]
        read = subprocess.run(command, user=65534, group=65534, extra_groups=[], capture_output=True)
    assert read.returncode != 0
    assert read.stdout == b""
    assert b"Permission denied" in read.stderr
