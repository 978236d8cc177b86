"""Settings of a process: where its temporary files lie, and what goes through a proxy."""

import ast
import getpass
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import graft
from graft.cli.main import app
from graft.core.environment import OF_ANOTHER_RUN, SCRATCH_SECONDS, configure, name_the_user
from graft.core.files import new_folder, write_file
from graft.core.lock import locked
from graft.core.project import Project
from graft.core.secret import project_secret, secret_file
from graft.networks.decode_images import large_array


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    without = ("PREFECT_", "NO_PROXY", "no_proxy", "http_proxy", "HTTP_PROXY")
    monkeypatch.setattr(os, "environ", {k: v for k, v in os.environ.items() if not k.startswith(without)})


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs Linux to see where an array lies")
def test_c13_an_array_that_is_too_large_for_memory_lies_on_the_projects_disk(tmp_path: Path) -> None:
    configure(Project(tmp_path))
    array = large_array((1024, 1024), np.uint8, in_memory_bytes=0)
    assert isinstance(array, np.memmap)
    maps = Path("/proc/self/maps").read_text(encoding="utf-8")
    assert f"{tmp_path}/.graft/state/scratch/" in maps


def test_c13_nothing_in_src_names_another_folder_for_temporary_files() -> None:
    """Every call of tempfile takes the process's folder, or names one of the project's own."""
    others = []
    for path in Path(graft.__file__).parent.rglob("*.py"):
        nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        words = {node.value for node in nodes if isinstance(node, ast.Constant)}
        others += [path.name] if words & {"/tmp", "/var/tmp", "TMPDIR"} else []
    assert sorted(set(others)) == ["start.py"]  # the socket of graft.automation.warm: its path may have 107 characters


def test_c13_what_a_killed_process_left_goes_after_a_week(tmp_path: Path) -> None:
    project = Project(tmp_path)
    old, new = project.scratch / "old", project.scratch / "new"
    for folder in (old, new):
        folder.mkdir(parents=True)
        (folder / "file").write_bytes(b"x")
    (project.scratch / "old.bin").write_bytes(b"x")
    long_ago = time.time() - SCRATCH_SECONDS - 60
    for path in (old, project.scratch / "old.bin"):
        os.utime(path, (long_ago, long_ago))
    configure(project)
    assert [path.name for path in project.scratch.iterdir()] == ["new"]


def test_c13_an_experiment_in_a_copy_of_the_project_uses_the_projects_own_folder(tmp_path: Path) -> None:
    copy = tmp_path / ".dvc" / "tmp" / "exps" / "tmpabc"
    configure(Project(copy))
    assert Path(tempfile.gettempdir()) == tmp_path / ".graft" / "state" / "scratch"


@pytest.mark.parametrize("stated", ["", "intranet, .example.org"])
def test_d2_nothing_of_this_machine_goes_through_a_proxy(project: Project, stated: str) -> None:
    import httpx
    from requests.utils import get_environ_proxies

    os.environ["http_proxy"] = "http://proxy.example:3128"
    if stated:
        os.environ["NO_PROXY"] = stated
    configure(project)
    for host in ("127.0.0.1", "localhost"):
        assert get_environ_proxies(f"http://{host}:4200/api", None) == {}
    transports = httpx.Client()
    for url in ("http://127.0.0.1:4200/api", "http://localhost:4200", "http://[::1]:4200"):
        assert transports._transport_for_url(httpx.URL(url)) is transports._transport
    assert os.environ["no_proxy"].startswith("intranet,.example.org," if stated else "127.0.0.1,")
    assert get_environ_proxies("http://elsewhere.example/", None) != {}


def test_no_proxy_for_anything_stays(project: Project) -> None:
    os.environ["no_proxy"] = "*"
    configure(project)
    assert os.environ["no_proxy"] == "*"


def test_a1_prefects_home_is_its_owners_alone(project: Project) -> None:
    configure(project)
    assert project.prefect.stat().st_mode & 0o777 == 0o700
    shared = project.root / "shared"
    shared.mkdir(mode=0o755)
    os.environ["PREFECT_HOME"] = str(shared)
    configure(project)
    assert shared.stat().st_mode & 0o777 == 0o755  # the user's own choice


def test_case_12_a_user_without_a_name_gets_one_and_others_keep_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 54321)

    def nobody(number: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {number}")

    monkeypatch.setattr("pwd.getpwuid", nobody)
    name_the_user()
    assert (getpass.getuser(), os.environ["LOGNAME"]) == ("user54321", "user54321")
    monkeypatch.setenv("LOGNAME", "somebody")
    name_the_user()
    assert getpass.getuser() == "somebody"


@pytest.mark.parametrize("home", [None, "", "relative"])
def test_case_12_a_user_without_a_name_and_home_has_the_one_of_containers(
    home: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody(number: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {number}")

    monkeypatch.setattr("pwd.getpwuid", nobody)
    monkeypatch.setenv("HOME", "/home/somebody")
    name_the_user()
    assert os.environ["HOME"] == "/home/somebody"
    monkeypatch.delenv("HOME") if home is None else monkeypatch.setenv("HOME", home)
    name_the_user()
    assert os.environ["HOME"] == "/"


def test_case_12_a_home_that_cannot_be_written_is_not_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MPLCONFIGDIR", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    configure(Project(tmp_path))
    assert "MPLCONFIGDIR" not in os.environ
    monkeypatch.setenv("HOME", str(tmp_path / "missing"))
    configure(Project(tmp_path))
    assert os.environ["MPLCONFIGDIR"] == f"{tmp_path}/.graft/cache/matplotlib"


def test_case_12_every_command_names_the_user_also_outside_a_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`graft init` calls DVC before there is a project that could be configured."""
    called: list[bool] = []
    monkeypatch.setattr("graft.cli.main.name_the_user", lambda: called.append(True))
    monkeypatch.setenv("GIT_DIR", str(tmp_path))  # and git, which would have another repository
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(app, ["results"]).exit_code
    assert called == [True]
    assert "GIT_DIR" not in os.environ


@pytest.mark.parametrize("name", ["PREFECT_API_URL", "PREFECT_HOME", "MLFLOW_HTTP_REQUEST_MAX_RETRIES", "KERAS_HOME"])
def test_case_15_a_variable_set_to_nothing_is_none(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(name, raising=False)  # what a test before this one has left
    configure(Project(tmp_path))
    usual = os.environ.get(name)
    monkeypatch.setenv(name, " ")
    configure(Project(tmp_path))
    assert os.environ.get(name) == usual


@pytest.mark.parametrize("name", [*OF_ANOTHER_RUN, "GIT_DIR"])
def test_case_15_what_another_run_has_left_is_taken_out(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "1")
    configure(Project(tmp_path))
    assert name not in os.environ


def test_keras_runs_on_tensorflow_whatever_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    configure(Project(tmp_path))
    assert os.environ["KERAS_BACKEND"] == "tensorflow"


@pytest.mark.parametrize(("mode", "shared"), [(0o2775, True), (0o775, True), (0o755, False), (0o1777, False)])
def test_case_20_what_is_written_into_a_groups_folder_is_the_groups(tmp_path: Path, mode: int, shared: bool) -> None:
    """Also by libraries, such as MLflow's database; what is private stays private."""
    project = Project(tmp_path / "project")
    project.root.mkdir()
    project.root.chmod(mode)
    before = os.umask(0o022)
    try:
        configure(project)
        with locked(project.state / "a.lock", "busy"):
            write_file(project.state / "file", "a")
            write_file(project.state / "mine", "a", private=True)
        with new_folder(project.state / "folder") as folder:
            (folder / "inner").write_text("a")
        names = ("a.lock", "file", "folder", "folder/inner")
        modes = {name: (project.state / name).stat().st_mode & 0o777 for name in names}
        assert all(bool(mode & 0o020) == shared for mode in modes.values()), modes
        assert not any(mode & 0o002 for mode in modes.values())
        assert (project.state / "mine").stat().st_mode & 0o077 == 0
        assert project.prefect.stat().st_mode & 0o077 == 0
    finally:
        os.umask(before)


def test_case_20_every_command_shares_also_one_that_needs_nothing_else(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`graft data import` writes data.dvc with few of the settings of other commands."""
    (project.root / "dvc.yaml").touch()
    (project.root / "params.yaml").touch()
    project.root.chmod(0o2775)
    monkeypatch.chdir(project.root)
    before = os.umask(0o022)
    try:
        CliRunner().invoke(app, ["data", "import", "missing"])
        assert os.umask(0) == 0o002
    finally:
        os.umask(before)


def test_case_20_a_shared_cache_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache").chmod(0o2775)
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "cache"))
    before = os.umask(0o022)
    try:
        configure(Project(tmp_path / "project"))
        assert os.umask(0) == 0o002
    finally:
        os.umask(before)


def test_case_20_each_of_two_users_has_a_secret_and_a_prefect_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project(tmp_path)
    configure(project)
    mine = project_secret(project)
    monkeypatch.setattr("graft.core.project.os.getuid", lambda: 54321)
    assert (project.prefect.name, project.private.name) == ("prefect", "private")  # root, who may enter
    monkeypatch.setattr("graft.core.project.os.access", lambda *_: False)
    assert (project.prefect.name, project.private.name) == ("prefect-54321", "private-54321")
    assert secret_file(project) == project.state / "private-54321" / "secret"
    assert project_secret(project) != mine
