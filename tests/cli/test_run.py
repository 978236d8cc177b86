"""`graft run` as typed: what it passes on to DVC, and what it refuses before anything is fetched or started."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from graft.automation import run_pipeline as pipeline
from graft.automation.run_pipeline import DVC_LETTERS, DVC_OPTIONS, require_known, stage_names
from graft.cli.main import app
from graft.cli.run import _print_next_commands, _validated
from graft.core.errors import GraftError
from graft.core.params.strategy_params import FrozenParams
from graft.core.project import Project


@pytest.fixture
def here(project: Project, repository: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(repository / name, project.root)
    monkeypatch.chdir(project.root)
    return project


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was fetched or started."""
    seen: list[Any] = []
    monkeypatch.setattr("graft.data.sources.catalogue.fetch_default", lambda project: seen.append("fetched"))
    monkeypatch.setattr(pipeline, "reproduce", lambda project, arguments, report: seen.append(arguments))
    monkeypatch.setattr("graft.cli.run._print_results", lambda project: None)
    return seen


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("--froce", "no option --froce. Did you mean '--force'?"),
        ("--downsteam train", "no option --downsteam. Did you mean '--downstream'?"),
        ("-fz", "no option -z. See: dvc repro --help"),
        ("trian", "no stage 'trian'. Did you mean 'train'?"),
        ("train@frozn", "no stage 'train@frozn'. Did you mean 'train@frozen'?"),
    ],
)
def test_d6_a_slip_is_answered_before_anything_is_fetched_or_started(
    here: Project, started: list[Any], typed: str, message: str
) -> None:
    result = CliRunner().invoke(app, ["run", *typed.split()])
    assert isinstance(result.exception, GraftError)
    assert message in str(result.exception)
    assert started == []


@pytest.mark.parametrize(
    ("typed", "passed_on"),
    [
        ("", []),
        ("--force", ["--force"]),
        ("-f evaluate", ["--force", "evaluate"]),
        ("train --downstream", ["train", "--downstream"]),
        ("-sk train@frozen", ["-sk", "train@frozen"]),
        ("data.dvc dvc.yaml:split", ["data.dvc", "dvc.yaml:split"]),
        ("--glob train@*", ["--glob", "train@*"]),
    ],
)
def test_d6_what_dvc_knows_is_passed_on(here: Project, started: list[Any], typed: str, passed_on: list[str]) -> None:
    result = CliRunner().invoke(app, ["run", *typed.split()], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert started == ["fetched", passed_on]


def test_l1_next_is_to_promote_also_where_all_strategies_choose_for_themselves(
    here: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    strategies = {"mine": FrozenParams.model_validate({"kind": "frozen", "members": "auto"})}
    train = SimpleNamespace(run=["mine"], strategies=strategies)
    monkeypatch.setattr("graft.core.params.load_params", lambda path: SimpleNamespace(train=train))
    _print_next_commands(here)
    printed = capsys.readouterr().out
    assert "graft promote" in printed
    assert "graft run --quality best" in printed
    assert "dvc exp run" not in printed


def test_d6_the_options_are_those_of_dvc() -> None:
    done = subprocess.run([sys.executable, "-m", "dvc", "repro", "--help"], capture_output=True, text=True, check=True)
    described = done.stdout[done.stdout.index("options:") :]
    assert set(re.findall(r"^  (?:-\w, )?(--[\w-]+)", described, re.M)) == set(DVC_OPTIONS)
    assert set(re.findall(r"^  -(\w), --", described, re.M)) == set(DVC_LETTERS)
    assert not re.search(r"^  (?:-\w, )?--[\w-]+ [A-Z<\[]", described, re.M), "an option takes a value"


def test_d6_names_are_those_of_dvc(here: Project) -> None:
    subprocess.run(["git", "init", "-q"], cwd=here.root, check=True)
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q"], cwd=here.root, check=True)
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "stage", "list", "--name-only"], cwd=here.root, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    listed = set(done.stdout.split())
    names = set(stage_names(here))
    assert listed <= names
    assert names - listed == {name.split("@")[0] for name in listed if "@" in name} | {"ensemble"}


@pytest.mark.parametrize(
    ("stages", "names"),
    [
        ("a: {matrix: {x: [1, 2], y: [b, c]}, cmd: x}", ["a", "a@1-b", "a@1-c", "a@2-b", "a@2-c"]),
        ("a: {foreach: {k: 1, l: 2}, do: {cmd: x}}", ["a", "a@k", "a@l"]),
        ("a: {matrix: {x: '${no.such}'}, cmd: x}", ["a"]),
        ("", []),
    ],
)
def test_stages_of_every_kind_are_named(project: Project, stages: str, names: list[str]) -> None:
    (project.root / "dvc.yaml").write_text(f"stages: {{{stages}}}\n")
    assert stage_names(project) == names


def test_a_dvc_yaml_that_is_none_is_named(project: Project) -> None:
    (project.root / "dvc.yaml").write_text("stages: [\n")
    with pytest.raises(GraftError, match=r"dvc.yaml line 2 is not valid YAML"):
        require_known(project, ["train"])


def test_the_setting_to_try_next_is_one_that_a_strategy_has(here: Project, capsys: pytest.CaptureFixture[str]) -> None:
    """The shipped frozen head is solved, and fine_tune's rate is left to measuring: the next strategy's is named."""
    _print_next_commands(here)
    shown = " ".join(capsys.readouterr().out.split())
    assert "-S train.strategies.scratch.learning_rate=0.003 " in shown
    assert "strategies.frozen" not in shown


@pytest.mark.parametrize(
    ("chosen_on", "said"),
    [
        ({"images": 16, "folds": 5}, "out of fold (0.2583), on the 16 images of train and val in 5 folds"),
        ({"images": 120, "folds": 0}, "on validation (0.2583), 120 images"),
        ({}, "on validation (0.2583)"),
    ],
)
def test_results_say_which_images_chose(chosen_on: dict[str, object], said: str) -> None:
    assert _validated({"value": 0.2583, **chosen_on}) == said
