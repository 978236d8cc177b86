"""Commands with --json: standard output is one JSON document, whatever libraries print, and also where it is empty."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from test_command_tree import TREE
from tiny import CLASSES

from graft.bundle.images import decode
from graft.cli import main
from graft.core.progress import console
from graft.core.project import Project
from graft.registry.resolve import ResolvedModel

WITH_JSON = [path for path, command in TREE if any("--json" in one.opts for one in command.params)]
Patch = Callable[[str, Any], None]


def noise() -> None:
    """What may come from anywhere: Python's own output, the console, libraries in C, other processes."""
    print("from Python")
    console.print("from the console")
    os.write(1, b"from C\n")


def noisy(result: Any) -> Callable[..., Any]:
    def function(*arguments: Any, **settings: Any) -> Any:
        noise()
        return result

    return function


def advise(patch: Patch) -> list[str]:
    patch("graft.networks.engines.tensorflow_import.import_tensorflow", noisy(None))
    patch("graft.analysis.choose.choose_project.choose_for_project", noisy(None))
    return []


RESOLVED = ResolvedModel(Path(), "pets", "1", "champion", "d" * 64)


def sweep(patch: Patch) -> list[str]:
    from graft.training.run_sweep import Trial

    trial = Trial(0, "frozen", {"epochs": 1}, {"accuracy": 0.5, "macro_f1": 0.5, "log_loss": 1.0}, 1.0)

    def run(project: Any, params: Any, after: Callable[[Trial], None]) -> list[Trial]:
        noise()
        after(trial)
        return [trial]

    patch("graft.networks.engines.tensorflow_import.import_tensorflow", noisy(None))
    patch("graft.registry.runs.sweep_runs.SweepRun", noisy(SimpleNamespace(log=noisy(None), finish=noisy(None))))
    patch("graft.training.run_sweep.run_sweep", run)
    return []


def sweep_of_nothing(patch: Patch) -> list[str]:
    sweep(patch)
    patch("graft.training.run_sweep.run_sweep", noisy([]))
    return []


def predict(patch: Patch) -> list[str]:
    classifier = SimpleNamespace(
        classes=["a", "b"],
        image_sizes=[8],
        known=None,
        decided={},
        to_pixels=lambda data: {8: decode(data, 8)},
        answers=lambda pixels: (np.full((len(pixels[8]), 2), 0.5, np.float32), np.zeros(len(pixels[8]), int)),
    )
    patch("graft.registry.resolve.resolve_model", noisy(RESOLVED))
    patch("graft.networks.engines.open_classifier.open_classifier", noisy(classifier))
    return ["data/red", "broken.png", "--no-log"]


def gate_refused(patch: Patch) -> list[str]:
    opened = None, SimpleNamespace(monitor=SimpleNamespace(log=None)), SimpleNamespace(model="pets")
    patch("graft.cli.promotion._open", noisy(opened))
    verdict = SimpleNamespace(text=lambda: '{"passed": false}\n', passed=False)
    patch("graft.registry.promotion.gate.run_gate", noisy(verdict))
    return []


def monitor_drifted(patch: Patch) -> list[str]:
    report = SimpleNamespace(as_record=lambda: {"drift": True}, drift=True)
    patch("graft.deployment.monitor.monitor_predictions.monitor_paths", noisy(report))
    patch("graft.deployment.monitor.drift_page.write_page", noisy(None))
    patch("graft.deployment.monitor.record_monitoring.record_comparison", noisy(None))
    return ["data"]


def compare(patch: Patch) -> list[str]:
    found = SimpleNamespace(as_json=lambda: {"reference": "a"}, disagreements=None)
    patch("graft.registry.runs.named_predictions.compare_named", noisy(found))
    return ["a", "b"]


def slices(patch: Patch) -> list[str]:
    patch("graft.registry.runs.sliced_predictions.sliced", noisy(([], 0.5)))
    return ["a"]


def robustness(patch: Patch) -> list[str]:
    patch("graft.registry.resolve.resolve_trained", noisy(RESOLVED))
    patch("graft.networks.engines.open_classifier.open_classifier", noisy(SimpleNamespace(classes=CLASSES)))
    patch("graft.evaluation.corruption_costs.robustness", noisy([]))
    return []


def study(patch: Patch) -> None:
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    digests = np.array([f"{number:064x}" for number in range(len(labels))])
    images = SimpleNamespace(labels=labels, classes=["a", "b"], groups=digests, sha256=digests, strategy="frozen")
    patch("graft.cli.study._images", noisy(images))
    patch("graft.cli.study._keep", noisy(Path("kept")))


def cv(patch: Patch) -> list[str]:
    study(patch)
    figures = pd.DataFrame({"accuracy": [0.5], "macro_f1": [0.5], "log_loss": [0.7]})
    found = SimpleNamespace(probabilities=np.full((8, 2), 0.5), by_fold=figures, by_seed=figures)
    patch("graft.training.studies.cross_validation.cross_validated", noisy(found))
    return []


def curve(patch: Patch) -> list[str]:
    study(patch)
    step = SimpleNamespace(difference=0.0, low=-0.1, high=0.1)
    found = SimpleNamespace(points=pd.DataFrame({"share": [1.0]}), last_step=step, answer="cannot tell")
    patch("graft.training.studies.learning_curve.learning_curve", noisy(found))
    return []


def ablate(patch: Patch) -> list[str]:
    study(patch)
    one = SimpleNamespace(option="", figures=SimpleNamespace(headline=lambda: {"accuracy": 0.5}), comparison=None)
    patch("graft.training.studies.ablation.ablate", noisy([one, one]))
    return []


def promote(patch: Patch) -> list[str]:
    return ["--version", "1", "--without-gate", "--reason", "a test"]


def inspect(patch: Patch) -> list[str]:
    return ["--no-labels"]


def nothing_patched(patch: Patch) -> list[str]:
    return []


# By command: what is replaced, which returns the arguments; and the exit codes that a document comes with.
CASES: dict[tuple[str, ...], list[tuple[Callable[[Patch], list[str]], int]]] = {
    ("advise",): [(advise, 0)],
    ("sweep",): [(sweep, 0), (sweep_of_nothing, 0)],
    ("predict",): [(predict, 0)],
    ("gate",): [(gate_refused, 1)],
    ("monitor",): [(monitor_drifted, 3)],
    ("data", "inspect"): [(inspect, 0)],
    ("compare",): [(compare, 0)],
    ("slices",): [(slices, 0)],
    ("robustness",): [(robustness, 0)],
    ("cv",): [(cv, 0)],
    ("curve",): [(curve, 0)],
    ("ablate",): [(ablate, 0)],
    ("promote",): [(promote, 0)],
    ("rollback",): [(nothing_patched, 0)],
    ("history",): [(nothing_patched, 0)],
}


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's database with one model of two versions and no champion."""
    from graft.registry.store.tracking_store import open_store

    project = Project(tmp_path_factory.mktemp("registry"))
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        client = open_store(project)
        client.create_registered_model("tints")
        for number in (1, 2):
            client.create_model_version("tints", f"file:///nowhere/{number}", tags={"strategy": "small"})
    return project.home / "mlflow.db"


@pytest.fixture
def here(
    project: Project, registry: Path, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Project:
    shutil.copy(registry, project.root)
    shutil.copy(repository / "params.yaml", project.root)
    (project.root / "broken.png").touch()
    monkeypatch.chdir(project.root)
    return project


def typed(*words: str) -> int:
    try:
        main.app(words, prog_name="graft")
    except SystemExit as end:
        return int(end.code or 0)
    raise AssertionError("a command ends by SystemExit")


def test_c15_every_command_with_json_is_tested_here() -> None:
    assert set(CASES) == set(WITH_JSON)


@pytest.mark.parametrize(
    ("words", "case", "code"),
    [
        pytest.param(words, case, code, id=f"{' '.join(words)}: {case.__name__}")
        for words, cases in CASES.items()
        for case, code in cases
    ],
)
def test_c15_standard_output_is_one_json_document(
    here: Project,
    words: tuple[str, ...],
    case: Callable[[Patch], list[str]],
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    if words == ("rollback",):
        for version in ("1", "2"):
            assert typed("promote", "--version", version, "--without-gate", "--reason", "a test") == 0
        capfd.readouterr()
    arguments = case(monkeypatch.setattr)
    assert typed(*words, *arguments, "--json") == code
    shown = capfd.readouterr()
    json.loads(shown.out)
    for source in ("from Python", "from the console", "from C"):
        assert (source in shown.err) == (case not in (nothing_patched, promote, inspect))


@pytest.mark.parametrize("words", WITH_JSON, ids=" ".join)
def test_c15_an_error_leaves_standard_output_empty(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    paths = ["images"] if words in (("predict",), ("monitor",)) else []
    monkeypatch.setattr("sys.argv", ["graft", *words, *paths, "--json"])
    with pytest.raises(SystemExit) as end:
        main.main()
    assert end.value.code == 1
    shown = capfd.readouterr()
    assert shown.out == ""
    assert "No graft project in" in shown.err
