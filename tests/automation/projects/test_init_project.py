"""`graft init`: what a new project consists of, and where none is made."""

import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from graft import __version__
from graft.automation.projects import init_project as making
from graft.automation.projects.generated_files import generated_files, pipeline_for_projects
from graft.automation.projects.init_project import init_project, read_bases
from graft.automation.projects.project_version import VERSION_FILE, require_own_version
from graft.core.errors import GraftError
from graft.core.project import Project, find_project


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return init_project(tmp_path_factory.mktemp("here") / "Ähren & 'Rosen' im Mai #1, 100%")


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_case_5_it_is_a_project_under_git_and_dvc_with_everything_committed(made: Project) -> None:
    assert find_project(made.root) == made
    assert git(made.root, "status", "--porcelain") == ""
    assert git(made.root, "log", "--format=%s").startswith("A project of graft")
    assert (made.root / ".dvc" / "config").is_file()
    assert (made.root / VERSION_FILE).read_text() == f"{__version__}\n"
    assert made.root.name in (made.root / "README.md").read_text()
    require_own_version(made)


def test_the_flows_and_settings_are_the_repositorys_own(made: Project, repository: Path) -> None:
    same = ["params.yaml", ".gitignore", ".dvcignore", "prefect.yaml"]
    same += [f"pipelines/{path.name}" for path in (repository / "pipelines").glob("*.py")]
    assert "pipelines/train.py" in same
    for path in same:
        assert (made.root / path).read_bytes() == (repository / path).read_bytes(), path


def test_what_is_generated_is_kept_for_the_next_upgrade(made: Project) -> None:
    assert read_bases(made) == generated_files(made.root.name)
    for path, text in read_bases(made).items():
        assert (made.root / path).read_text() == text


def test_stages_depend_on_the_version_in_the_place_of_code(repository: Path) -> None:
    text = (repository / "dvc.yaml").read_text()
    stages = YAML(typ="safe").load(text)["stages"]
    ours = YAML(typ="safe").load(pipeline_for_projects(text))["stages"]
    assert stages.keys() == ours.keys()
    for name, stage in stages.items():
        kept = [path for path in stage.get("deps", []) if not str(path).startswith("src/")]
        version = [VERSION_FILE] if len(kept) < len(stage.get("deps", [])) else []
        assert sorted(ours[name].get("deps", [])) == sorted([*kept, *version]), name
        assert {**stage, "deps": 0} == {**ours[name], "deps": 0}
    assert "src/" not in pipeline_for_projects(text)
    assert "tests/" not in pipeline_for_projects(text)


def test_an_empty_folder_and_an_empty_repository_are_taken(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "cloned")
    project = init_project(tmp_path / "cloned")
    assert git(project.root, "status", "--porcelain") == ""


def test_case_11_a_repository_that_git_does_not_read_is_refused_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / ".git").write_text("gitdir: /nonexistent")
    with pytest.raises(GraftError, match="`git rev-parse` failed.*: fatal: not a git repository: /nonexistent"):
        init_project(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".git"]


def test_case_11_what_the_account_has_git_ignore_is_committed_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config").write_text(f"[core]\n\texcludesFile = {tmp_path}/ignored\n")
    (tmp_path / "ignored").write_text("*.yaml\npipelines\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "config"))
    project = init_project(tmp_path / "new")
    assert generated_files("new").keys() <= set(git(project.root, "ls-files").splitlines())


def test_a_folder_that_holds_something_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(GraftError, match=r"is not empty: it holds notes\.txt\."):
        init_project(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    with pytest.raises(GraftError, match="is a file"):
        init_project(tmp_path / "notes.txt")


def test_a_project_is_not_made_again(made: Project) -> None:
    with pytest.raises(GraftError, match="is a project already"):
        init_project(made.root)


def test_another_git_repository_is_no_place_for_one(made: Project) -> None:
    with pytest.raises(GraftError, match="lies in another git repository"):
        init_project(made.root / "within" / "it")
    assert not (made.root / "within").exists()


@pytest.mark.parametrize("name", ["what?", "two\nlines", "back\\slash", "${y}"])
def test_characters_that_addresses_read_otherwise_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(GraftError, match="Choose another name or place"):
        init_project(tmp_path / name)
    assert not (tmp_path / name).exists()


def test_without_git_there_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GraftError, match="git is not installed"):
        init_project(tmp_path / "flowers")


def test_where_it_fails_nothing_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise GraftError("DVC refuses")

    monkeypatch.setattr(making, "run_dvc", refuse)
    (tmp_path / "empty").mkdir()
    for name in ("empty", "new"):
        with pytest.raises(GraftError, match="DVC refuses"):
            init_project(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]
    assert not any((tmp_path / "empty").iterdir())


def test_an_account_without_a_name_commits_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "user.useConfigOnly")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "true")
    for who in ("AUTHOR", "COMMITTER"):
        for what in ("NAME", "EMAIL"):
            monkeypatch.delenv(f"GIT_{who}_{what}", raising=False)
    monkeypatch.delenv("EMAIL", raising=False)
    project = init_project(tmp_path / "flowers")
    assert git(project.root, "log", "--format=%an") == "graft"


def test_the_version_of_the_package_is_that_of_the_project_file(repository: Path) -> None:
    import tomllib

    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    assert project["version"] == __version__
