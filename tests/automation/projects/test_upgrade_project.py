"""`graft upgrade`: a merge of three, in which nothing of the user's is lost."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from graft.automation.projects import upgrade_project as upgrading
from graft.automation.projects.generated_files import generated_files
from graft.automation.projects.init_project import init_project, read_bases
from graft.automation.projects.project_version import VERSION_FILE, require_own_version
from graft.automation.projects.upgrade_project import FileChange, upgrade_project
from graft.cli.main import app
from graft.core.errors import GraftError
from graft.core.project import Project

Changed = dict[str, str | None]


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return init_project(tmp_path_factory.mktemp("pristine") / "flowers").root


@pytest.fixture
def old(pristine: Path, tmp_path: Path) -> Project:
    """A project of an earlier version, in a folder of its own."""
    root = tmp_path / "flowers"
    shutil.copytree(pristine, root)
    (root / VERSION_FILE).write_text("0.0.9\n")
    return Project(root)


@pytest.fixture
def now_generates(monkeypatch: pytest.MonkeyPatch) -> Callable[[Changed], None]:
    """Has the installed graft generate other files: text by path, None for one that it no longer has."""

    def change(files: Changed) -> None:
        every = {**generated_files("flowers"), **files}
        texts = {path: text for path, text in every.items() if text is not None}
        monkeypatch.setattr(upgrading, "generated_files", lambda name: texts)

    return change


def replaced(path: str, old: str, new: str) -> str:
    text = generated_files("flowers")[path]
    assert old in text
    return text.replace(old, new)


def contents(project: Project) -> dict[str, bytes]:
    return {
        path.relative_to(project.root).as_posix(): path.read_bytes()
        for path in project.root.rglob("*")
        if path.is_file() and not path.is_relative_to(project.state)
    }


def test_another_version_is_said_in_a_sentence(old: Project) -> None:
    with pytest.raises(GraftError, match=r"is of graft 0\.0\.9, and .* is installed\. .*`graft upgrade`"):
        require_own_version(old)


def test_graft_run_asks_for_the_upgrade_before_anything_else(old: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(old.root)
    answer = CliRunner().invoke(app, ["run"])
    assert isinstance(answer.exception, GraftError)
    assert "graft upgrade" in str(answer.exception)


def test_the_users_lines_and_the_new_ones_come_together(old: Project, now_generates: Callable[[Changed], None]) -> None:
    mine = replaced("params.yaml", "  seed: 13  ", "  seed: 99  ")
    (old.root / "params.yaml").write_text(mine)
    now_generates({"params.yaml": replaced("params.yaml", "max_latency_ms: 200  ", "max_latency_ms: 300  ")})
    done = upgrade_project(old)
    assert [(one.path, one.change) for one in done.changes] == [("params.yaml", "merged")]
    text = (old.root / "params.yaml").read_text()
    assert "  seed: 99  " in text and "max_latency_ms: 300  " in text
    require_own_version(old)
    assert upgrade_project(old).changes == []


def test_a_file_that_the_user_left_alone_is_renewed(old: Project, now_generates: Callable[[Changed], None]) -> None:
    now_generates({"pipelines/split.py": "# another\n", "pipelines/more.py": "# a new stage\n"})
    done = upgrade_project(old)
    assert {one.path: one.change for one in done.changes} == {
        "pipelines/split.py": "renewed",
        "pipelines/more.py": "new",
    }
    assert (old.root / "pipelines" / "split.py").read_text() == "# another\n"
    assert (old.root / "pipelines" / "more.py").read_text() == "# a new stage\n"
    assert read_bases(old)["pipelines/more.py"] == "# a new stage\n"


def test_lines_that_both_changed_are_marked_and_named(
    old: Project, now_generates: Callable[[Changed], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    (old.root / "params.yaml").write_text(replaced("params.yaml", "  seed: 13  ", "  seed: 99  "))
    now_generates({"params.yaml": replaced("params.yaml", "  seed: 13  ", "  seed: 14  ")})
    monkeypatch.chdir(old.root)
    answer = CliRunner().invoke(app, ["upgrade"])
    assert answer.exit_code == 1
    assert "Choose between the marked lines in params.yaml" in answer.output
    text = (old.root / "params.yaml").read_text()
    assert "<<<<<<< yours" in text and "seed: 99" in text and "seed: 14" in text
    with pytest.raises(GraftError, match="of an earlier conflict"):
        upgrade_project(old)


def test_a_dry_run_changes_nothing(old: Project, now_generates: Callable[[Changed], None]) -> None:
    now_generates({"pipelines/split.py": "# another\n", "pipelines/validate.py": None})
    before = contents(old)
    done = upgrade_project(old, dry_run=True)
    assert done.changes == [
        FileChange("pipelines/split.py", "renewed", "# another\n"),
        FileChange("pipelines/validate.py", "removed", None),
    ]
    assert contents(old) == before


def test_what_is_no_longer_generated_goes_where_the_user_left_it_alone(
    old: Project, now_generates: Callable[[Changed], None]
) -> None:
    with (old.root / "pipelines" / "ensemble.py").open("a") as file:
        file.write("# mine\n")
    now_generates({"pipelines/validate.py": None, "pipelines/ensemble.py": None})
    changes = {one.path: one.change for one in upgrade_project(old).changes}
    assert changes == {"pipelines/validate.py": "removed", "pipelines/ensemble.py": "left, no longer generated"}
    assert not (old.root / "pipelines" / "validate.py").exists()
    assert (old.root / "pipelines" / "ensemble.py").read_text().endswith("# mine\n")


def test_what_the_user_deleted_stays_deleted(old: Project, now_generates: Callable[[Changed], None]) -> None:
    (old.root / "prefect.yaml").unlink()
    now_generates({"prefect.yaml": "name: other\n"})
    assert [one.change for one in upgrade_project(old).changes] == ["left deleted"]
    assert not (old.root / "prefect.yaml").exists()


def test_a_new_file_does_not_overwrite_one_of_the_users(old: Project, now_generates: Callable[[Changed], None]) -> None:
    (old.root / "pipelines" / "choose.py").write_text("# mine\n")
    now_generates({"pipelines/choose.py": "# a new stage\n"})
    assert upgrade_project(old).conflicts == ["pipelines/choose.py"]
    text = (old.root / "pipelines" / "choose.py").read_text()
    assert "# mine\n" in text and "# a new stage\n" in text


def test_cut_off_anywhere_it_can_be_repeated(
    old: Project, now_generates: Callable[[Changed], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    (old.root / "params.yaml").write_text(replaced("params.yaml", "  seed: 13  ", "  seed: 99  "))
    now_generates(
        {
            "params.yaml": replaced("params.yaml", "max_latency_ms: 200  ", "max_latency_ms: 300  "),
            "pipelines/split.py": "# another\n",
        }
    )
    whole = upgrading.write_file
    count = 0

    def until_it_is_cut(path: Path, content: str) -> None:
        nonlocal count
        count += 1
        if count == 2:
            raise KeyboardInterrupt
        whole(path, content)

    monkeypatch.setattr(upgrading, "write_file", until_it_is_cut)
    with pytest.raises(KeyboardInterrupt):
        upgrade_project(old)
    monkeypatch.setattr(upgrading, "write_file", whole)
    upgrade_project(old)
    text = (old.root / "params.yaml").read_text()
    assert "<<<<<<<" not in text and "  seed: 99  " in text and "max_latency_ms: 300  " in text
    assert (old.root / "pipelines" / "split.py").read_text() == "# another\n"


def test_a_checkout_is_not_upgraded(old: Project) -> None:
    (old.root / VERSION_FILE).unlink()
    with pytest.raises(GraftError, match="git pull"):
        upgrade_project(old)
