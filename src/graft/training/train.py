"""Training one strategy on the split tables: from files in, to files out."""

from __future__ import annotations

import hashlib
import json
import shutil
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from graft.backbones import default_image_size, local_files
from graft.calibration.temperature import calibrate
from graft.data.split_tables import read_splits
from graft.errors import GraftError, did_you_mean
from graft.evaluation.metrics import Evaluation, evaluate
from graft.features.extraction import predict
from graft.features.store import FeatureStore
from graft.params.strategies import (
    FineTuneParams,
    FrozenParams,
    HubBackboneParams,
    ScratchParams,
    StrategyParams,
    TrainParams,
    TransferParams,
)
from graft.project import Project
from graft.timing import StageClock
from graft.training.bundle import write_bundle
from graft.training.devices import all_devices, arithmetic, in_float32
from graft.training.images import Photographs
from graft.training.strategies import fine_tune, frozen, scratch
from graft.training.strategy import Task, Trained

STRATEGIES: dict[type, Any] = {
    FrozenParams: frozen.train,
    FineTuneParams: fine_tune.train,
    ScratchParams: scratch.train,
}


@dataclass(frozen=True)
class TrainedStrategy:
    """What :func:`train_strategy` did, for whoever records it.

    ``temperature`` is what its logits are divided by in the bundle; the figures in ``validation`` are of
    probabilities with temperatures fitted without the image, see :mod:`graft.calibration`.
    """

    name: str
    classes: list[str]
    image_size: int
    trained: Trained
    temperature: float
    validation: Evaluation
    folder: Path


def train_strategy(project: Project, params: TrainParams, name: str, clock: StageClock) -> TrainedStrategy:
    """Trains one strategy and writes its folder: bundle, histories, validation figures and predictions.

    Raises:
        GraftError: no such strategy, more images in a batch than there are, or whatever the strategy raises.
    """
    if name not in params.strategies:
        raise GraftError(f"There is no strategy '{name}'", did_you_mean(name, params.strategies))
    strategy = params.strategy(name)
    assert strategy.seed is not None  # filled in by TrainParams.strategy, as is
    assert strategy.precision is not None
    tables = read_splits(project, ["train", "val"])
    if strategy.batch_size > len(tables["train"]):
        raise GraftError(
            f"strategies.{name}.batch_size is {strategy.batch_size}, and there are {len(tables['train'])} images "
            "to train on",
            "Lower batch_size in params.yaml",
        )
    size = _image_size(strategy)
    classes = sorted(set(tables["train"]["label"]))

    def images(split: str) -> Photographs:
        table = tables[split]
        labels = np.array([classes.index(label) for label in table["label"]])
        label = f"{name}: {split} images"
        paths, sha256 = list(table["path"]), list(table["sha256"])
        return Photographs(project.data, paths, sha256, labels, size, label, clock, split)

    task = Task(
        name=name,
        classes=classes,
        train=images("train"),
        val=images("val"),
        image_size=size,
        seed=strategy.seed,
        cache=project.cache,
        checkpoint=project.state
        / "checkpoints"
        / f"{name}-{_work_key(project, strategy, params.deterministic)}",
        clock=clock,
        store=FeatureStore(project.features, params.store.limit_bytes),
    )
    keras.utils.set_random_seed(strategy.seed)
    # TensorFlow cannot run the graph of a Hub module that was loaded for several devices.
    is_hub = isinstance(strategy, TransferParams) and isinstance(strategy.backbone, HubBackboneParams)
    devices = nullcontext() if is_hub else all_devices()
    with arithmetic(strategy.precision, params.deterministic) as precision, devices:
        trained = STRATEGIES[type(strategy)](strategy, task)
    if precision != "float32":
        model = in_float32(trained.model)
        trained = replace(
            trained, model=model, val_logits=predict(model, task.val.inputs, f"{name}: val images")
        )

    folder = project.strategy(name)
    folder.mkdir(parents=True, exist_ok=True)
    with clock.span("calibrate"):
        calibration = calibrate(task.val.labels, trained.val_logits, tables["val"]["sha256"].to_numpy(str))
    with clock.span("export"):
        write_bundle(trained.model, classes, size, folder / "model", calibration.temperature)
    probabilities = calibration.probabilities
    validation = evaluate(task.val.labels, probabilities, classes)
    _write_records(folder, trained, validation, tables["val"], probabilities, classes)
    shutil.rmtree(task.checkpoint, ignore_errors=True)
    return TrainedStrategy(name, classes, size, trained, calibration.temperature, validation, folder)


def _image_size(strategy: StrategyParams) -> int:
    if isinstance(strategy.image_size, int):
        return strategy.image_size
    if isinstance(strategy, TransferParams):
        assert strategy.backbone is not None  # filled in by TrainParams.strategy
        return default_image_size(strategy.backbone)
    raise GraftError(
        f"image_size is auto, and a network from random weights ({strategy.kind}) was made for no size",
        "Name one under the strategy in params.yaml: the size of the photographs, or less",
    )


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


def _work_key(project: Project, strategy: StrategyParams, deterministic: bool) -> str:
    """Names a piece of work by all that decides its outcome: settings, files of weights, images with labels, code."""
    digest = hashlib.sha256(f"{strategy.model_dump_json()}\n{deterministic}\n{keras.__version__}\n".encode())
    files: list[Path] = []
    if isinstance(strategy, TransferParams) and strategy.backbone is not None:
        files = local_files(strategy.backbone)
    code = sorted(Path(__file__).parent.rglob("*.py"))
    for path in (project.split_table("train"), project.split_table("val"), *files, *code):
        with path.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:16]
