"""The training core under Keras' other backends, where one is installed: they are not in graft's lock."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_the_training_core_trains_and_carries_on(backend: str, tmp_path: Path) -> None:
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    paths = os.pathsep.join([str(HERE.parent), *sys.path])
    environment = dict(os.environ, KERAS_BACKEND=backend, PYTHONPATH=paths)
    command = [sys.executable, str(HERE / "other_backend.py"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=800, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    assert f"backend {backend}: done" in done.stdout
