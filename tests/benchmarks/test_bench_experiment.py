"""The benchmark that does without the stages still makes what those find: else it breaks when they change."""

from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.machine import measure


def test_a_small_experiment_ends_with_its_figures(tmp_path: Path) -> None:
    drawn = np.random.default_rng(0)
    for label, brightness in (("dark", 60), ("light", 190)):
        (tmp_path / "data" / label).mkdir(parents=True)
        for number in range(20):
            pixels = drawn.integers(brightness - 50, brightness + 50, (32, 32, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "data" / label / f"{number}.png")
    sizes = ["--image-size", "32", "--epochs", "1", "--weights", "none"]
    command = ["-m", "benchmarks.experiment", str(tmp_path / "data"), "--home", str(tmp_path / "home"), *sizes]
    answer = measure(command, GRAFT_CACHE="").answer
    assert answer["images"] == 40
    assert 0 <= answer["accuracy"] <= 1
    assert {"features", "head", "export", "predict frozen"} <= set(answer["seconds"])
