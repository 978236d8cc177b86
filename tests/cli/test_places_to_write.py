"""Options that name what to write: nothing of the project's own is written to."""

from pathlib import Path

import click
import pytest
import typer.main
from typer.testing import CliRunner

from graft.cli.main import app
from graft.core.errors import GraftError
from graft.core.project import require_outside_of_project

WRITING = [
    ["export", "--format", "onnx", "--out"],
    ["predict", "photo.jpg", "--out"],
    ["predict", "photo.jpg", "--explain"],
    ["report", "--out"],
    ["card", "--out"],
    ["compare", "--out"],
    ["label", "--label-studio"],
    ["visualize", "kernels", "--out"],
    ["visualize", "features", "photo.jpg", "--out"],
    ["visualize", "embedding", "--out"],
]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("params.yaml", "dvc.yaml"):
        (tmp_path / name).touch()
    (tmp_path / "data" / "cats").mkdir(parents=True)
    (tmp_path / "photos").symlink_to("data")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return tmp_path


@pytest.mark.parametrize("words", WRITING, ids=" ".join)
def test_no_command_writes_into_data(project: Path, words: list[str]) -> None:
    with pytest.raises(GraftError, match="data is the project's own"):
        CliRunner().invoke(app, [*words, "../data/cats/new.csv"], catch_exceptions=False)


def test_every_option_that_names_what_to_write_is_tried_here() -> None:
    def options(command: click.Command, words: tuple[str, ...]) -> set[tuple[str, ...]]:
        if isinstance(command, click.Group):
            return set().union(*(options(one, (*words, name)) for name, one in command.commands.items()))
        return {(*words, option) for one in command.params for option in one.opts if option in ("--out", "--explain")}

    tried = {(*(word for word in words[:-1] if word.isalpha() and word != "onnx"), words[-1]) for words in WRITING}
    assert options(typer.main.get_command(app), ()) <= tried


@pytest.mark.parametrize(
    "path",
    ["data", "params.yaml", "photos/cats/a.csv", ".git/hooks/x", "artifacts/split/test.csv", "elsewhere/../dvc.lock"],
)
def test_what_the_project_keeps_is_refused(project: Path, path: str) -> None:
    with pytest.raises(GraftError, match="Name another"):
        require_outside_of_project(project / path)


@pytest.mark.parametrize("path", ["labels.csv", "README.md", "artifacts/report/x.html", "database/x", "../data"])
def test_every_other_place_is_taken(project: Path, path: str) -> None:
    require_outside_of_project(project / path)
