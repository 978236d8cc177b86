"""Projects as they are after stage evaluate, of generated predictions: no network is trained for them."""

import hashlib
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from graft.core.project import Project
from graft.data.scan.leaving_out import kind_of
from graft.evaluation.evaluate import EvaluatedBundle, TestImages, write_evaluation
from graft.evaluation.metrics import evaluate

PICTURES = 120  # files, of which many images of a large set are copies


def photograph(seed: int, side: int = 320) -> Image.Image:
    """A picture with shapes and noise, about as large as a JPEG as a photograph is."""
    generator = np.random.default_rng(seed)
    coarse = Image.fromarray(generator.integers(0, 255, (12, 16, 3), dtype=np.uint8))
    picture = coarse.resize((side, side * 3 // 4), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(picture)
    for _ in range(6):
        x, y = generator.integers(0, side // 2, 2).tolist()
        draw.ellipse((x, y, x + side // 4, y + side // 4), fill=tuple(generator.integers(0, 255, 3).tolist()))
    noisy = np.asarray(picture, np.int16) + generator.normal(0, 8, (*picture.size[::-1], 3)).astype(np.int16)
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def evaluated_project(
    root: Path,
    classes: list[str],
    images: int,
    skill: float = 2.5,
    strategies: tuple[str, ...] = ("frozen", "fine_tune"),
    **settings: str,
) -> Project:
    """A project whose strategies are evaluated on ``images`` test images.

    Args:
        skill: how far the logit of the right class is above the others, in standard deviations.
        settings: lines of data.dvc's meta.
    """
    project, repository = Project(root), Path(__file__).parents[1]
    root.mkdir(parents=True)
    shutil.copy(repository / "params.yaml", project.params_file)
    shutil.copy(repository / "dvc.yaml", root / "dvc.yaml")
    meta = {"dataset": "generated", "licence": "CC BY 4.0", "source": "made by a test", **settings}
    lines = "".join(f"\n  {key}: {json.dumps(value)}" for key, value in meta.items())
    (root / "data.dvc").write_text(f"outs:\n- md5: {'0123456789abcdef' * 2}.dir\n  path: data\nmeta:{lines}\n")
    project.data.mkdir()
    for number in range(min(PICTURES, images)):
        photograph(number).save(project.data / f"{number:04}.jpg", quality=88)
    generator = np.random.default_rng(1)
    labels = np.arange(images) % len(classes)
    table = pd.DataFrame(
        {
            "sha256": [hashlib.sha256(str(number).encode()).hexdigest() for number in range(images)],
            "label": [classes[label] for label in labels],
        }
    )
    _write_data(project, table, classes)
    for place, name in enumerate(strategies):
        logits = generator.normal(size=(images, len(classes))).astype(np.float32)
        logits[np.arange(images), labels] += skill * (1 - 0.2 * place)
        probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        stand_in = SimpleNamespace(project=project, table=table, groups=np.array(table["sha256"]))
        found = EvaluatedBundle(probabilities, classes, evaluate(labels, probabilities, classes))
        write_evaluation(name, found, cast(TestImages, stand_in))
        folder = project.strategy(name)
        folder.mkdir(parents=True)
        figures = {"val": {"accuracy": 0.9, "macro_f1": 0.9, "log_loss": 0.3}}
        (folder / "metrics.json").write_text(json.dumps(figures))
        chosen = project.artifacts("choose") / "settings" / f"{name}.json"
        chosen.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(repository / "tests" / "chosen" / f"{name}.json", chosen)
    return project


def _write_data(project: Project, table: pd.DataFrame, classes: list[str]) -> None:
    for stage in ("validate", "split"):
        project.artifacts(stage).mkdir(parents=True)
    numbers = np.arange(len(table))
    manifest = table.assign(
        path=[f"{number % PICTURES:04}.jpg" for number in numbers],
        split="",
        left_out="",
        width=320,
        height=240,
        brightness=np.linspace(0.1, 0.9, len(table)).astype(np.float32),
        sharpness=np.linspace(10, 900, len(table)).astype(np.float32),
    )
    manifest.to_parquet(project.manifest, index=False)
    reason = "unreadable: the file is truncated or damaged"
    (project.artifacts("validate") / "left_out.csv").write_text(f"path,reason\nbroken.jpg,{reason}\n")
    assert kind_of(reason) == "unreadable"
    project.test_groups.write_text("sha256,group\n")
    own = table["label"].value_counts()
    counts = {name: {"train": 60, "val": 12, "test": int(own.get(name, 0))} for name in classes}
    summary = {
        "method": "stratified",
        "group_by": "none",
        "seed": 13,
        "images": {"test": len(table)},
        "groups": {"test": len(table)},
        "classes": counts,
        "near_duplicates_dropped": [],
        "duplicates_dropped": [],
    }
    (project.artifacts("split") / "summary.json").write_text(json.dumps(summary))
