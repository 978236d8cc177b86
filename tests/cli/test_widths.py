"""Tables on narrow terminals keep their results; what goes into a pipe is not folded."""

import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from fcntl import ioctl
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from rich.table import Table

from graft.cli import export, monitor, output, predict, run, sweep
from graft.core.project import Project
from graft.evaluation.headline import Figure, Headline
from graft.evaluation.intervals import Interval

LONG = "a_strategy_with_a_very_long_name_indeed"


def results(patch: pytest.MonkeyPatch) -> list[str]:
    from graft.automation import run_pipeline as pipeline

    values = {"accuracy": 0.98765, "macro_f1": 0.98761, "log_loss": 0.43219}
    figures = {name: Figure(value, Interval(0.9 * value, 1.01 * value)) for name, value in values.items()}
    rows = [pipeline.StrategyResult(LONG, Headline(figures, 300, 12), 12345.6, "0123456789abcdef" * 2)]
    registered = {"strategy": LONG, "aliases": [], "model": "m", "version": "1", "metric": "accuracy", "value": 1.0}
    patch.setattr(pipeline, "read_results", lambda project, folders: rows)
    patch.setattr(pipeline, "read_registered", lambda project: registered)
    patch.setattr("graft.core.params.load_params", lambda path: None)
    patch.setattr("graft.core.model_folders.model_folders", lambda project, params: {})
    run._print_results(Project(Path()))
    return ["98.77% [88.9, 99.8]", "0.9876"]


def sweep_trials(patch: pytest.MonkeyPatch) -> list[str]:
    from graft.training.run_sweep import Trial

    settings = {"learning_rate": 0.00123, "augment.rotation_degrees": 12, "head.dropout": 0.123, "epochs": 100}
    figures = {"accuracy": 0.98765, "macro_f1": 0.9, "log_loss": 0.43219}
    trials = [Trial(0, LONG, settings, figures, 9.0, "", 0.0123, 0.004), Trial(1, LONG, settings, {}, 9.0, "no")]
    sweep._print_trials(SimpleNamespace(sweep=SimpleNamespace(metric="log_loss")), trials)  # type: ignore[arg-type]
    return ["0.4322", "failed"]


def exports(patch: pytest.MonkeyPatch) -> list[str]:
    checked = SimpleNamespace(
        milliseconds=1.2, largest_difference=1.2e-7, accuracy=0.98765, accuracy_of_model=0.9912, images=100
    )
    one = SimpleNamespace(name="saved_model", folder=Path("out"), bytes=12_345_678, checked=checked)
    export._print_table([one])  # type: ignore[list-item]
    return ["98.77%", "99.12%"]


def predictions(patch: pytest.MonkeyPatch) -> list[str]:
    name = "photographs/of/the/week/" + "sub/" * 12 + "picture.jpg"
    label = "a_label_of_some_length"
    some = SimpleNamespace(
        names=[name],
        problems=[""],
        labels=[label],
        answered=lambda classes: [0.9],
        probabilities=np.array([[0.1, 0.9]]),
    )
    patch.setattr(predict, "_predict", lambda *arguments: [some])
    classifier = SimpleNamespace(classes=["no", label])
    predict._show(classifier, lambda _: iter([]), [], 1, None, top=1, sets=None)  # type: ignore[arg-type]
    return ["90.00%", "a_label_of_some"]


def checks(patch: pytest.MonkeyPatch) -> list[str]:
    check = SimpleNamespace(
        name="unreadable files", p_value=0.0005, adjusted=0.004, effect=0.123, least_effect=0.05, drift=True,
        words="of recent images 12.3 % could not be read, of those of training 0.1 %",
    )  # fmt: skip
    patch.setattr("graft.deployment.monitor.drift_page.in_words", lambda report: "Drift.")
    monitor._print(SimpleNamespace(checks=[check], skipped={}, drift=True, expected=None))  # type: ignore[arg-type]
    return ["unreadable files", "0.0005", "drift"]


@pytest.mark.parametrize("width", [80, 60])
@pytest.mark.parametrize("printed", [results, sweep_trials, exports, predictions, checks])
def test_d5_results_are_whole_on_a_narrow_terminal(
    printed: Callable[[pytest.MonkeyPatch], list[str]],
    width: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    figures = printed(monkeypatch)
    shown = capsys.readouterr().out
    for figure in figures:
        assert figure in shown, shown
    table = [line for line in shown.splitlines() if any(figure in line for figure in figures)]
    assert max(map(len, table)) <= width


def test_d5_columns_go_one_after_the_other_and_rows_keep_their_style(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def print_it(width: int) -> list[str]:
        monkeypatch.setenv("COLUMNS", str(width))
        table = Table(box=None, pad_edge=False)
        for header in ("name", "result", "seconds", "run"):
            table.add_column(header, no_wrap=True)
        table.add_row("one", "0.5", "12.0", "f" * 32)
        output.print_table(table, "run", "seconds")
        return capsys.readouterr().out.splitlines()[0].split()

    assert print_it(80) == ["name", "result", "seconds", "run"]
    assert print_it(40) == ["name", "result", "seconds"]
    assert print_it(18) == ["name", "result"]


PROGRAM = """
import sys
from graft.core.progress import console
console.print("word " * 60)
"""


def columns_of(descriptor: int, width: int) -> None:
    ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", 30, width, 0, 0))


def environment() -> dict[str, str]:
    return {**{name: value for name, value in os.environ.items() if name != "COLUMNS"}, "TERM": "xterm"}


@pytest.mark.parametrize("width", [60, 80, 132])
def test_d5_on_a_terminal_lines_are_as_wide_as_it_is(width: int) -> None:
    ours, theirs = pty.openpty()
    columns_of(theirs, width)
    with os.fdopen(theirs, "wb") as terminal:
        subprocess.run(
            [sys.executable, "-c", PROGRAM], stdin=terminal, stdout=terminal, stderr=terminal, env=environment(),
            check=True,
        )  # fmt: skip
    shown = os.read(ours, 10_000).decode()
    os.close(ours)
    lengths = [len(line.rstrip()) for line in shown.splitlines() if line.strip()]
    assert width - 5 <= max(lengths) <= width


def test_d5_what_goes_into_a_pipe_is_not_folded_also_where_a_terminal_is_near() -> None:
    ours, theirs = pty.openpty()
    columns_of(theirs, 60)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], stdin=theirs, stderr=theirs, stdout=subprocess.PIPE, env=environment(),
        check=True, text=True,
    )  # fmt: skip
    os.close(ours)
    os.close(theirs)
    assert len(done.stdout.splitlines()) == 1
