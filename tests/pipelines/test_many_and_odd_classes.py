"""A thousand classes, some with names that programs trip over: from photographs to served and exported models."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from real_project import RealProject
from running import start

from benchmarks.machine import LAUNCHER

pytestmark = [pytest.mark.slow, pytest.mark.end_to_end]

ODD = ["a&b", "it's", '"quoted"', "<b>", "x,y", "p;q", "#1", "\U0001f600", "null", "1e3", "-dash", "007", "a-b", "a_b"]
SIDE = 12
CLASSES, IMAGES = 1000, 5
TOKEN = "of-this-test-alone-and-no-other"
# Python with TensorFlow, and what a thousand classes may add to it. Before pictures were bounded, 200 took 5.5 GB.
MOST_MEMORY_KB = 3_000_000


def write_classes(folder: Path, names: list[str], count: int) -> None:
    """Small noisy pictures, each class of a colour of its own, no two of them near-duplicates."""
    rng = np.random.default_rng(0)
    for name in names:
        (folder / name).mkdir(parents=True)
        colour = rng.integers(40, 216, (1, 1, 3))
        for index in range(count):
            noise = np.kron(rng.normal(0, 45, (6, 6, 3)), np.ones((SIDE // 6, SIDE // 6, 1)))
            Image.fromarray(np.clip(colour + noise, 0, 255).astype(np.uint8)).save(folder / name / f"{index:03}.png")


def one_small_network(params: dict) -> None:
    """A network of pixels alone: what is tested here is all that stands around it."""
    params["train"].update(
        run=["pixels"],
        strategies={
            "pixels": {
                "kind": "scratch",
                "network": "mlp",
                "head": {"pooling": "flatten", "hidden": [64], "dropout": 0.0},
                "image_size": 8,
                "epochs": 12,
                "batch_size": 64,
                "learning_rate": 0.003,
                "keep": "last",
            }
        },
    )
    params["ensemble"].update(run=[], ensembles={})
    params["sweep"]["try"] = {}
    params["gate"].update(minimum=0.001)
    # A network of seconds on noise: how good it is, is not what is asked.
    params["gate"]["severity"].update(class_recall="off", calibration="off")
    params["validate"].update(max_imbalance=1000)


def succeed(real: RealProject, *command: str) -> str:
    """Runs a graft command, which must end well; returns what it printed."""
    done = real.graft(*command)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    assert "Traceback" not in done.stdout + done.stderr
    return done.stdout


def all_the_way(real: RealProject, source: Path, names: list[str], tmp_path: Path) -> int:
    """Import, run, gate, promote, predict, serve and export; returns the peak memory of `graft run` in kB."""
    real.change_params(one_small_network)
    succeed(real, "data", "import", str(source), "--name", "odd")
    record = tmp_path / "measured.json"
    graft = str(Path(sys.executable).with_name("graft"))
    ran = real.run(sys.executable, "-S", "-c", LAUNCHER, str(record), graft, "run")
    code, _, peak = json.loads(record.read_text())
    assert code == 0, ran.stdout + ran.stderr
    assert "Registered: odd version 1 (challenger): pixels" in ran.stdout
    real.run("git", "add", "--all")
    assert real.run("git", "commit", "--quiet", "--message", "run").returncode == 0
    for command in ("gate", "promote", "history", "results"):
        succeed(real, command)

    labels = set()
    for split in ("train", "val", "test"):
        table = pd.read_csv(real.project.split_table(split), dtype=str, keep_default_na=False)
        labels |= set(table["label"])
    assert labels == set(names)

    photographs = [sorted((source / name).iterdir())[0] for name in names[:3]]
    out = tmp_path / "predicted.json"
    succeed(real, "predict", *map(str, photographs), "--out", str(out))
    predicted = {Path(row["path"]): row["label"] for row in json.loads(out.read_text())}
    assert set(predicted) == set(photographs)
    assert set(predicted.values()) <= set(names)
    assert served_label(real, photographs[0]) == predicted[photographs[0]]

    exported = tmp_path / "exported"
    succeed(real, "export", "--format", "onnx", "--out", str(exported))
    described = [json.loads(path.read_text(encoding="utf-8")) for path in exported.rglob("*.json")]
    assert any(sorted(content.get("labels", [])) == sorted(names) for content in described)
    return int(peak)


def served_label(real: RealProject, photograph: Path) -> str:
    """The label that `graft serve` gives a photograph."""
    # `start` takes this process's environment, as a shell would hand on its own.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRAFT_CACHE", real.environment["GRAFT_CACHE"])
        with start(real.project, token=TOKEN) as running:
            answer = running.predict(photograph.read_bytes(), token=TOKEN)
    assert answer.status == 200, answer.body
    return str(answer.json()["predictions"][0]["label"])


def test_c1_c3_a_thousand_classes_and_names_that_programs_trip_over(empty_project: RealProject, tmp_path: Path) -> None:
    names = ODD + [f"class {number:04}" for number in range(CLASSES - len(ODD))]
    write_classes(tmp_path / "source", names, IMAGES)
    assert all_the_way(empty_project, tmp_path / "source", names, tmp_path) < MOST_MEMORY_KB
    evaluated = empty_project.root / "artifacts/evaluate"
    table = pd.read_csv(evaluated / "per_class/pixels.csv", dtype=str, keep_default_na=False)
    assert set(table["class"]) == set(names)
    pictures = list((evaluated / "pictures").rglob("*.png"))
    assert pictures
    for picture in pictures:
        with Image.open(picture) as image:
            assert max(image.size) <= 5000, picture
