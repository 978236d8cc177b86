"""Rules that hold for every command of the tree: what options are called, and how help reads."""

import collections
import itertools
import os
import subprocess
import sys
from typing import Any

import pytest
from typer import rich_utils
from typer.core import TyperOption
from typer.main import get_command
from typer.testing import CliRunner

from graft.cli import main

ROOT: Any = get_command(main.app)


def walk(command: Any, *path: str) -> list[tuple[tuple[str, ...], Any]]:
    """Every command and group with the words that call it."""
    found = [(path, command)]
    for name, below in getattr(command, "commands", {}).items():
        found += walk(below, *path, name)
    return found


TREE = walk(ROOT)
OPTIONS = [(path, one) for path, command in TREE for one in command.params if isinstance(one, TyperOption)]
MEANINGS = collections.defaultdict(dict)  # type: ignore[var-annotated]
for path, option in OPTIONS:
    for name in (*option.opts, *option.secondary_opts):
        if path:  # of graft itself: --version
            MEANINGS[name][path] = option


def words(path: tuple[str, ...]) -> str:
    return " ".join(("graft", *path))


@pytest.mark.parametrize("name", MEANINGS)
def test_d7_a_name_is_a_switch_everywhere_or_takes_a_value_everywhere(name: str) -> None:
    assert len({option.is_flag for option in MEANINGS[name].values()}) == 1


@pytest.mark.parametrize("name", ["--force", "--json", "--model"])
def test_d7_what_several_commands_share_is_said_in_the_same_words(name: str) -> None:
    assert len(MEANINGS[name]) > 1
    sayings = {option.help for path, option in MEANINGS[name].items() if path != ("serve",)}  # says what it watches
    assert len(sayings) == 1, sayings


def test_d7_one_word_for_one_thing() -> None:
    assert not {"--overwrite", "--format-json"} & set(MEANINGS)
    assert set(MEANINGS["--yes"]) == {("prune",)}  # elsewhere a dry run is what is asked for
    assert set(MEANINGS["--force"]) == {("run",), ("retrain",), ("schedule", "run-now")}


@pytest.mark.parametrize(
    ("path", "option"), [pytest.param(*one, id=f"{words(one[0])} {one[1].name}") for one in OPTIONS]
)
def test_d7_an_option_says_what_it_takes_and_what_for(path: tuple[str, ...], option: TyperOption) -> None:
    assert option.help
    if not option.is_flag:
        assert option.metavar
        assert option.metavar.isupper()


@pytest.mark.parametrize("path", [path for path, _ in TREE], ids=words)
@pytest.mark.parametrize("width", [80, 60])
def test_d5_help_fills_its_lines_and_fits(path: tuple[str, ...], width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rich_utils, "MAX_WIDTH", width)
    result = CliRunner().invoke(main.app, [*path, "-h"])
    assert result.exit_code == 0
    lines = [line.rstrip() for line in result.output.splitlines()]
    assert max(map(len, lines)) <= width
    if width == 80:
        assert "…" not in result.output
    panels = next(number for number, line in enumerate(lines) if line.startswith("╭"))
    for line, following in itertools.pairwise(lines[:panels]):
        if line and following:
            # The next word would not have fitted on this line: no line ends in the middle of one.
            assert len(line) + 1 + len(following.split()[0]) > width - 1, (line, following)


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        ("predict --modle x y", "Did you mean '--model'?"),
        ("data imprt x", "Did you mean 'import'?"),
        ("prdict x", "Did you mean 'predict'?"),
        ("train", "'train' is a stage of the pipeline: graft run train"),
    ],
)
def test_d6_a_slip_is_answered_with_the_nearest_name(typed: str, answer: str) -> None:
    result = CliRunner().invoke(main.app, typed.split())
    assert result.exit_code == 2
    assert answer in " ".join(result.output.replace("│", " ").split())


@pytest.mark.parametrize(("typed", "answer"), [("help", "Commands"), ("help data import", "--labels-from-names")])
def test_d6_help_is_a_command_too(typed: str, answer: str) -> None:
    result = CliRunner().invoke(main.app, typed.split())
    assert result.exit_code == 0
    assert answer in result.output


def test_d7_the_version_is_said() -> None:
    result = CliRunner().invoke(main.app, ["--version"])
    assert result.exit_code == 0
    assert result.output.startswith("graft ")
    assert result.output.split()[1][0].isdigit()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("graft data use traff", "traffic_lights"),
        ("graft recipe use sign_language_digits_f", "sign_language_digits_fine_tuned"),
        ("graft export --format open", "openvino"),
        ("graft run ev", "evaluate"),
        ("graft run train@fro", "train@frozen"),
    ],
)
def test_d7_the_shell_completes_names_without_heavy_libraries(line: str, expected: str, repository: Any) -> None:
    code = (
        "import sys\n"
        "from graft.cli.main import app\n"
        "try: app(prog_name='graft')\n"
        "finally: print([name for name in ('tensorflow', 'mlflow', 'pandas', 'dvc') if name in sys.modules],"
        " file=sys.stderr)"
    )
    environment = {
        **os.environ,
        "_GRAFT_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(line.split()) - 1),
    }
    done = subprocess.run([sys.executable, "-c", code], env=environment, cwd=repository, capture_output=True, text=True)
    assert expected in done.stdout.split()
    assert done.stderr.strip() == "[]"
