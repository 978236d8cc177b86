"""`graft recipe` as typed: what it prints, what it writes, and that it can be undone."""

import shlex
import subprocess
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from graft.cli import recipe as command
from graft.core.errors import GraftError
from graft.core.params import load_params
from graft.core.recipes import Recipe, read_recipe, recipe_names

NAME = next(name for name in recipe_names() if read_recipe(name).sections)


@pytest.fixture
def project(tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with the shipped settings and nothing in data/."""
    root = tmp_path / "my project"
    root.mkdir()
    (root / "params.yaml").write_bytes((repository / "params.yaml").read_bytes())
    (root / "dvc.yaml").write_text("stages: {}\n")
    monkeypatch.chdir(root)
    monkeypatch.setenv("COLUMNS", "200")
    return root


def hold(project: Path, dataset: str) -> None:
    (project / "data" / "cat").mkdir(parents=True)
    (project / "data.dvc").write_text(f"outs:\n- path: data\nmeta:\n  dataset: '{dataset}'\n")


def run(*arguments: str) -> str:
    """Output of a command that succeeds; what it raises otherwise goes on."""
    result = CliRunner().invoke(command.app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_list_shows_every_recipe_with_what_to_expect(project: Path) -> None:
    shown = " ".join(run("list").split())
    for name in recipe_names():
        recipe = read_recipe(name)
        records = (recipe.records["Published"], recipe.records["Measured"])
        for text in (name, recipe.title, f"data set {recipe.data}", *records):
            assert text in shown
    assert "graft recipe use NAME" in shown


def test_list_needs_no_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert NAME in run("list")


@pytest.mark.parametrize("name", recipe_names())
def test_show_prints_the_file_as_it_is(name: str) -> None:
    assert run("show", name) == read_recipe(name).text


def test_show_colours_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Console(force_terminal=True, color_system="standard", width=200, record=True)
    monkeypatch.setattr(command, "console", terminal)
    assert "\x1b[" in run("show", NAME)
    shown = [line.rstrip() for line in terminal.export_text().splitlines()]
    assert shown == read_recipe(NAME).text.splitlines()


def test_use_takes_the_settings_and_says_how_to_go_back(project: Path) -> None:
    before = (project / "params.yaml").read_bytes()
    output = run("use", NAME)
    recipe = read_recipe(NAME)
    assert set(load_params(project / "params.yaml").train.strategies) == set(recipe.sections["train"]["strategies"])
    assert (project / "params.yaml").read_bytes() != before
    back = next(line for line in output.splitlines() if "comes back with" in line).partition(": ")[2]
    subprocess.run(shlex.split(back), check=True, cwd=project)
    assert (project / "params.yaml").read_bytes() == before
    assert sorted(path.name for path in project.iterdir()) == [".graft", "dvc.yaml", "params.yaml"]


def test_the_way_back_holds_from_a_folder_below(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (project / "params.yaml").read_bytes()
    (below := project / "notes").mkdir()
    monkeypatch.chdir(below)
    back = next(line for line in run("use", NAME).splitlines() if "comes back with" in line)
    subprocess.run(shlex.split(back.partition(": ")[2]), check=True, cwd=below)
    assert (project / "params.yaml").read_bytes() == before


def test_using_it_again_writes_nothing_and_another_state_is_kept_beside_the_first(project: Path) -> None:
    params = project / "params.yaml"
    original = params.read_bytes()
    run("use", NAME)
    assert "already holds" in run("use", NAME)
    edited = params.read_text().replace("max_aspect: 4", "max_aspect: 5").replace("split:", "split: # mine")
    params.write_text(edited)
    run("use", NAME)
    kept = {path.read_bytes() for path in (project / ".graft" / "state" / "replaced").iterdir()}
    assert kept == {original, edited.encode()}
    assert load_params(params).validate_.max_aspect == 5


def test_use_says_what_data_holds_and_brings_what_it_needs(project: Path) -> None:
    data = read_recipe(NAME).data
    output = run("use", NAME)
    assert f"data/ is empty; the recipe is for {data}." in output
    assert f"Next: graft data use {data} && graft run" in output

    hold(project, "[bold]pets")
    output = run("use", NAME)
    assert f"data/ holds [bold]pets; the recipe is for {data}." in output
    assert f"Next: graft data use {data} --replace && graft run" in output


def test_use_is_content_with_the_right_data(project: Path) -> None:
    hold(project, read_recipe(NAME).data)
    output = run("use", NAME)
    assert f"data/ holds {read_recipe(NAME).data}, as it should." in output
    assert "Next: graft run" in output


def test_a_recipe_that_is_a_command_writes_nothing_and_names_it(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = Recipe("bare", "A command", "mnist", "", {}, {"Command": "graft predict data/0"})
    monkeypatch.setattr("graft.core.recipes.read_recipe", lambda name: bare)
    before = (project / "params.yaml").read_bytes()
    output = run("use", "bare")
    assert "nothing to set" in output
    assert "Next: graft data use mnist && graft predict data/0" in output
    assert (project / "params.yaml").read_bytes() == before
    assert not (project / ".graft").exists()


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("max_aspect: 4", "max_aspekt: 4", r"unknown key 'validate.max_aspekt'.*max_aspect"),
        ("evaluate:\n", "evaluate\n", "is not valid YAML"),
    ],
)
def test_what_would_not_run_is_refused_and_nothing_is_written(project: Path, old: str, new: str, message: str) -> None:
    params = project / "params.yaml"
    broken = params.read_text().replace(old, new)
    params.write_text(broken)
    with pytest.raises(GraftError, match=message):
        run("use", NAME)
    assert params.read_text() == broken
    assert not (project / ".graft").exists()


def test_a_broken_section_that_the_recipe_replaces_is_mended(project: Path) -> None:
    params = project / "params.yaml"
    params.write_text(params.read_text().replace("  method: auto", "  methud: auto"))
    run("use", NAME)
    load_params(params)


@pytest.mark.parametrize("verb", ["show", "use"])
def test_an_unknown_name_is_refused_with_the_nearest(project: Path, verb: str) -> None:
    with pytest.raises(GraftError, match=f"Did you mean '{NAME}'"):
        run(verb, f"{NAME}s")


def test_outside_a_project_nothing_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(GraftError, match="No graft project"):
        run("use", NAME)
