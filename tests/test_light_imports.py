"""What decides, judges and records must not wait for TensorFlow, which takes seconds to import."""

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("tensorflow", "keras", "mlflow", "great_expectations", "pandas")
LIGHT = (
    "graft.cli.main",
    "graft.deployment.monitor.prediction_log",
    "graft.registry.resolve",
    "graft.registry.promotion.gate",
    "graft.automation.retraining.retraining",
    "graft.registry.runs.strategy_runs",
    "pipelines.register",
    "pipelines.retrain",
    "pipelines.validate",
)


@pytest.fixture(scope="module")
def loaded(repository: Path) -> dict[str, str]:
    """By module, which heavy ones its import loads; each in a process of its own."""
    code = (
        "import importlib, sys; importlib.import_module(sys.argv[1]); "
        f"print(*[name for name in {HEAVY!r} if name in sys.modules])"
    )
    return {
        name: subprocess.run(
            [sys.executable, "-c", code, name], cwd=repository, capture_output=True, text=True, check=True
        ).stdout.strip()
        for name in LIGHT
    }


@pytest.mark.parametrize("name", LIGHT)
def test_importing_it_loads_nothing_heavy(loaded: dict[str, str], name: str) -> None:
    assert loaded[name] == ""


def test_a_command_that_asks_one_thing_waits_for_neither_arithmetic_nor_processes(repository: Path) -> None:
    """They were a third of what `graft history` takes, by way of other commands and of the evidence of deliveries."""
    code = (
        "import sys, graft.cli.main, graft.automation.retraining.heartbeat, graft.registry.promotion.line\n"
        "print(*sorted({'numpy', 'psutil', 'http.client'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
