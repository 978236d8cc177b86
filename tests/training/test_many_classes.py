"""Hundreds of classes go through training, ensembles, evaluation and export within bounded memory.

A thousand go through the commands in tests/pipelines/test_many_and_odd_classes.py.
"""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from peak_memory import peak_bytes
from PIL import Image
from tiny import clock, tiny_params, write_hub_module

from graft.core.params import Params
from graft.core.project import Project
from graft.evaluation.evaluate import TestImages as Images
from graft.evaluation.evaluate import evaluate_bundle, write_evaluation
from graft.networks.features.feature_store import FeatureStore

CLASSES, SIDE = 200, 8
OF_EACH = {"train": 6, "val": 2, "test": 2}
# The whole process, with TensorFlow; a picture of 200 classes alone took 5.5 GB.
MOST_BYTES = 2 * 10**9


def make_project(root: Path) -> Project:
    """Ten images of each class, all of nearly one colour."""
    project = Project(root)
    project.artifacts("split").mkdir(parents=True)
    project.artifacts("validate").mkdir(parents=True)
    random = np.random.default_rng(0)
    colours = random.integers(0, 220, (CLASSES, 2, 2, 3))
    rows = []
    for number, colour in enumerate(colours):
        name = f"class {number:04d} & '\" < > , ; # 😀"
        (project.data / name).mkdir(parents=True)
        for index, split in enumerate(split for split, count in OF_EACH.items() for _ in range(count)):
            pixels = np.kron(colour, np.ones((SIDE // 2, SIDE // 2, 1))) + random.integers(0, 30, (SIDE, SIDE, 3))
            path = project.data / name / f"{index}.png"
            Image.fromarray(pixels.astype(np.uint8)).save(path)
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            rows.append({"path": f"{name}/{index}.png", "label": name, "sha256": digest, "part": split})
    table = pd.DataFrame(rows).sort_values("sha256")
    for split in OF_EACH:
        of_split = table.loc[table["part"] == split, ["sha256", "label"]]
        of_split.to_csv(project.split_table(split), index=False, lineterminator="\n")
    for groups in (project.training_groups, project.test_groups):
        groups.write_text("sha256,group\n")  # no image belongs with another
    table.drop(columns="part").assign(split="", left_out="").to_parquet(project.manifest, index=False)
    return project


def settings(module: Path) -> Params:
    common = {"epochs": 3, "patience": 9, "learning_rate": 0.01, "batch_size": 256}
    strategies = {
        "mlp": {
            "kind": "scratch",
            "network": "mlp",
            "head": {"pooling": "flatten", "hidden": [64], "batch_norm": True},
            **common,
        },
        "frozen": {"kind": "frozen", **common},
        "tuned": {"kind": "fine_tune", "unfreeze": "all", "head_epochs": 1, **common},
    }
    return tiny_params(
        ensemble={"run": ["both"], "ensembles": {"both": {"of": ["mlp", "frozen"], "weights": "fitted"}}},
        run=list(strategies),
        image_size=SIDE,
        backbone={"source": "hub", "name": str(module)},
        strategies=strategies,
    )


def through_all_stages(folder: Path) -> dict[str, float]:
    from graft.deployment.export.export_model import export
    from graft.registry.resolve import resolve_model
    from graft.training.ensembles.make_ensemble import make_ensemble
    from graft.training.train import train_strategy

    project, params = make_project(folder / "project"), settings(write_hub_module(folder / "module", SIDE))
    for name in params.train.run:
        train_strategy(project, params.train, name, clock()).clean_up()
    make_ensemble(project, params.ensemble.ensembles["both"], "both", clock())
    images, store = Images(project), FeatureStore(project.features, 10**9)
    accuracies = {}
    made = {name: project.strategy(name) for name in params.train.run} | {"both": project.ensemble("both")}
    for name, of in made.items():
        found = evaluate_bundle(name, of, images, 64, clock(), store)
        write_evaluation(name, found, images)
        accuracies[name] = found.evaluation.accuracy
        assert (project.artifacts("evaluate") / "pictures" / f"{name}.png").stat().st_size < 3e6
        assert found.probabilities.shape == (OF_EACH["test"] * CLASSES, CLASSES)
    model = resolve_model(project, str(project.strategy("mlp")))
    (exported,) = export(project, model, ["saved_model"], False, 1.0, folder / "out", replace=False)
    assert len((exported.folder / "labels.txt").read_text(encoding="utf-8").splitlines()) == CLASSES
    return accuracies


@pytest.mark.slow
def test_c1_hundreds_of_classes_go_through_all_stages_in_bounded_memory(tmp_path: Path) -> None:
    command = [sys.executable, __file__, str(tmp_path)]
    tests = str(Path(__file__).parents[1])
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, env={**os.environ, "PYTHONPATH": tests})
    assert done.returncode == 0, done.stderr[-3000:]
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["bytes"] < MOST_BYTES
    assert report["accuracies"]["mlp"] > 0.05  # chance: 0.005


if __name__ == "__main__":
    reached = through_all_stages(Path(sys.argv[1]))
    print(json.dumps({"bytes": peak_bytes(), "accuracies": reached}))
