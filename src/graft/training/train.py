"""Training one strategy on the split tables: from files in, to files out."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from graft.data.split_tables import read_splits
from graft.errors import GraftError
from graft.evaluation.metrics import Evaluation, evaluate, softmax
from graft.params.models import FineTuneParams, FrozenParams, ScratchParams, TrainParams
from graft.project import Project
from graft.timing import StageClock
from graft.training.bundle import write_bundle
from graft.training.fit import Labelled
from graft.training.images import load_images
from graft.training.strategies import fine_tune, frozen, scratch
from graft.training.strategy import Task, Trained

STRATEGIES: dict[type, Any] = {
    FrozenParams: frozen.train,
    FineTuneParams: fine_tune.train,
    ScratchParams: scratch.train,
}


@dataclass(frozen=True)
class TrainedStrategy:
    """What :func:`train_strategy` did, for whoever records it."""

    name: str
    classes: list[str]
    image_size: int
    trained: Trained
    validation: Evaluation
    folder: Path


def train_strategy(project: Project, params: TrainParams, name: str, clock: StageClock) -> TrainedStrategy:
    """Trains one strategy and writes its folder: bundle, histories, validation figures and predictions.

    Raises:
        GraftError: no such strategy, or whatever the strategy raises.
    """
    if name not in params.strategies:
        raise GraftError(f"There is no strategy '{name}'", f"Known: {', '.join(params.strategies)}")
    strategy = params.strategy(name)
    assert strategy.image_size is not None  # filled in by TrainParams.strategy
    keras.utils.set_random_seed(params.seed)

    tables = read_splits(project, ["train", "val"])
    classes = sorted(set(tables["train"]["label"]))
    with clock.span("decode"):
        images = {
            split: Labelled(
                load_images(
                    project.data, list(table["path"]), strategy.image_size, f"{name}: {split} images"
                ),
                np.array([classes.index(label) for label in table["label"]]),
            )
            for split, table in tables.items()
        }
    task = Task(
        name=name,
        classes=classes,
        train=images["train"],
        val=images["val"],
        image_size=strategy.image_size,
        seed=params.seed,
        cache=project.cache,
        checkpoint=project.state
        / "checkpoints"
        / f"{name}-{_work_key(project, strategy.model_dump_json(), params.seed)}",
        clock=clock,
    )
    trained = STRATEGIES[type(strategy)](strategy, task)

    folder = project.strategy(name)
    folder.mkdir(parents=True, exist_ok=True)
    with clock.span("export"):
        write_bundle(trained.model, classes, strategy.image_size, folder / "model")
    probabilities = softmax(trained.val_logits)
    validation = evaluate(images["val"].labels, probabilities, classes)
    _write_records(folder, trained, validation, tables["val"], probabilities, classes)
    shutil.rmtree(task.checkpoint, ignore_errors=True)
    return TrainedStrategy(name, classes, strategy.image_size, trained, validation, folder)


def _write_records(
    folder: Path,
    trained: Trained,
    validation: Evaluation,
    table: Any,
    probabilities: np.ndarray,
    classes: list[str],
) -> None:
    # float_format keeps the last bits, which differ between machines, out of files that are compared by hash.
    trained.fit.epochs.drop(columns="seconds").to_csv(folder / "epochs.csv", index=False, float_format="%.6g")
    trained.fit.steps.to_csv(folder / "steps.csv", index=False, float_format="%.6g")
    predictions = table[["sha256", "label"]].copy()
    for index, label in enumerate(classes):
        predictions[f"p_{label}"] = probabilities[:, index]
    predictions.to_csv(folder / "val_predictions.csv", index=False, float_format="%.6g")
    (folder / "metrics.json").write_text(
        json.dumps({"val": validation.headline()}, indent=1), encoding="utf-8"
    )


def _work_key(project: Project, strategy: str, seed: int) -> str:
    """Names a piece of work by all that decides its outcome: strategy, seed, and the images with their labels."""
    digest = hashlib.sha256(f"{strategy}\n{seed}\n".encode())
    for split in ("train", "val"):
        digest.update(project.split_table(split).read_bytes())
    return digest.hexdigest()[:16]
