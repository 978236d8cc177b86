"""Train one strategy on the split tables: from files in, to files out."""

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module, metadata
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from graft.core.errors import GraftError, did_you_mean
from graft.core.files import sha256_of, write_file
from graft.core.paired import log_losses
from graft.core.params.backbone_params import BackboneParams
from graft.core.params.strategy_params import FineTuneParams, FrozenParams, StrategyParams, TransferParams
from graft.core.params.train_params import VALIDATION_FOLDS, TrainParams
from graft.core.project import Project
from graft.core.source_digest import source_digest
from graft.core.timing import StageClock
from graft.data.splits.image_groups import read_groups
from graft.data.splits.split_tables import read_splits
from graft.evaluation.calibration import Calibration, calibrate
from graft.evaluation.metrics import Evaluation, evaluate
from graft.evaluation.prediction_table import class_indices, with_probabilities
from graft.networks.backbones import default_image_size
from graft.networks.decode_images import Photographs
from graft.networks.engines.devices import all_devices, arithmetic, in_float32, machine_record
from graft.networks.engines.tensorflow_import import with_tensorflow
from graft.networks.features.extract import predict
from graft.networks.features.feature_store import FeatureStore
from graft.networks.temperature import softmax
from graft.training.blend import Blend
from graft.training.chosen_settings import with_chosen
from graft.training.decision_evidence import collect
from graft.training.strategy import Task, Trained
from graft.training.validate_in_folds import fold_logits, groups_of_all, logits_of_fold
from graft.training.write_bundle import write_bundle

GRAFT = Path(__file__).parents[1]
# Folders and files of graft's code that decide what a training comes to.
CODE = ("analysis", "bundle", "networks", "training")


@dataclass(frozen=True)
class FittedStrategy:
    """The result of :func:`fit_strategy`.

    Attributes:
        name: of the strategy.
        task: what it was given.
        trained: what it gave back.
        calibration: its temperature, and the probabilities of the validation images.
        validation: figures of these, which are of temperatures fitted without the image; where the task has folds, of
            the images of train and val.
        cross_validation: figures of the training images out of fold, likewise; None where there was none.
        val_table: the images that were validated, in order; columns path, sha256, label.
        machine: see :func:`graft.networks.engines.devices.machine_record`.
        folder: of the strategy's outputs, which :func:`train_strategy` writes.
    """

    name: str
    task: Task
    trained: Trained
    calibration: Calibration
    validation: Evaluation
    cross_validation: Evaluation | None
    val_table: pd.DataFrame
    machine: dict[str, str]
    folder: Path

    def validation_losses(self, metric: str) -> np.ndarray:
        """Return each validated image's log loss in nats, or for the other metrics 1 where it is wrong, ``[N]``."""
        labels = class_indices(self.val_table["label"], self.task.classes)
        probabilities = self.calibration.probabilities
        if metric == "log_loss":
            return log_losses(probabilities, labels)
        return np.asarray(probabilities.argmax(axis=1) != labels, np.float64)

    def clean_up(self) -> None:
        """Remove the checkpoint: once the training is recorded, it is needed no longer."""
        shutil.rmtree(self.task.checkpoint, ignore_errors=True)


def train_strategy(project: Project, params: TrainParams, name: str, clock: StageClock) -> FittedStrategy:
    """Train one strategy and write its folder: bundle, histories, validation figures and predictions.

    Its checkpoint stays until :meth:`FittedStrategy.clean_up`: where the record of the training cannot be written, the
    next try finds it finished and trains nothing again.

    Checkpoints of the strategy with other settings, of trainings that were stopped, are removed.

    Raises:
        GraftError: as :func:`fit_strategy`.
    """
    fitted = fit_strategy(project, params, name, clock)
    current = fitted.task.checkpoint
    for other in current.parent.glob("*"):
        # A strategy may be called as another with a dash behind it.
        if other != current and re.fullmatch(f"{re.escape(name)}-[0-9a-f]{{16}}", other.name):
            shutil.rmtree(other, ignore_errors=True)
    task, folder = fitted.task, project.strategy(name)
    folder.mkdir(parents=True, exist_ok=True)
    with clock.span("export"):
        network, temperature = fitted.trained.network, fitted.calibration.temperature
        labels = class_indices(fitted.val_table["label"], task.classes)
        evidence = collect(fitted.trained, task, labels, fitted.calibration.probabilities)
        write_bundle(network, task.classes, task.image_size, folder / "model", temperature, evidence=evidence)
    _write_records(folder, fitted)
    return fitted


def checkpoint_folder(project: Project, params: TrainParams, name: str) -> Path:
    """Return where the checkpoint of a strategy lies."""
    return project.checkpoints / f"{name}-{work_key(project, params, params.strategy(name))}"


def fit_strategy(project: Project, params: TrainParams, name: str, clock: StageClock) -> FittedStrategy:
    """Train one strategy and evaluate it on validation; write nothing but its checkpoint.

    Raises:
        GraftError: no such strategy, or whatever the strategy raises.
    """
    params = with_chosen(project, params, name)
    strategy, task, val_table = _prepare(project, params, name, clock)
    train = _trains(strategy)
    with _training_context(strategy, params):
        trained: Trained = train(task)
        machine = machine_record(trained.precision)
        # A strategy that cross-validates as it is fitted has answered for all of them already.
        elsewhere = partial(with_tensorflow, __name__, "train_fold", (project, params, name))
        in_folds = fold_logits(train, task, elsewhere) if len(trained.val_logits) < len(val_table) else None
    if trained.precision != "float32":
        model = in_float32(trained.model)
        trained = replace(
            trained,
            network=model,  # not with its features: those in the store are of half precision
            features=None,
            val_logits=predict(model, task.val.inputs, f"{name}: val images"),
        )
    if in_folds is not None:
        trained = replace(trained, val_logits=in_folds, out_of_fold=None)
    labels = class_indices(val_table["label"], task.classes)
    with clock.span("calibrate"):
        if isinstance(trained.network, Blend):  # each member has a temperature of its own
            calibration, cross_validation = Calibration(1.0, softmax(trained.val_logits)), None
        elif (cross := trained.out_of_fold) is None:
            images = val_table["sha256"].to_numpy(str) if not task.folds else groups_of_all(task)
            calibration = calibrate(labels, trained.val_logits, images)
            cross_validation = None
        else:
            # All training images say more of the temperature than a few for validation, which then judge it too.
            fitted = calibrate(cross.labels, cross.logits, cross.groups)
            cross_validation = evaluate(cross.labels, fitted.probabilities, task.classes)
            calibration = Calibration(fitted.temperature, softmax(trained.val_logits / fitted.temperature))
    validation = evaluate(labels, calibration.probabilities, task.classes)
    folder = project.strategy(name)
    return FittedStrategy(name, task, trained, calibration, validation, cross_validation, val_table, machine, folder)


def train_fold(project: Project, params: TrainParams, name: str, fold: int) -> np.ndarray:
    """Return logits float32 ``[n, C]`` for the images of one of a strategy's folds, by a training without them."""
    strategy, task, _ = _prepare(project, params, name, StageClock("fold"))
    with _training_context(strategy, params):
        return logits_of_fold(_trains(strategy), task, fold)


def _trains(strategy: StrategyParams) -> Callable[[Task], Trained]:
    """Return what trains a strategy on a task; a kind of strategy is the module of its name."""
    return partial(import_module(f"graft.training.strategies.{strategy.kind}").train, strategy)


@contextmanager
def _training_context(strategy: StrategyParams, params: TrainParams) -> Iterator[None]:
    """Set the arithmetic and the devices that a strategy is trained with, for the block."""
    assert strategy.seed is not None  # filled in by TrainParams.strategy, as is
    assert strategy.precision is not None
    keras.utils.set_random_seed(strategy.seed)
    # TensorFlow cannot run a backbone without layers, the graph of a Hub module, that was loaded for several devices.
    is_whole = any(backbone.no_layers for backbone in _backbones(strategy))
    devices = nullcontext() if is_whole else all_devices()
    # What a frozen backbone makes of an image is computed once: nothing is gained by half precision there, and in
    # float32 it is what the CPU, evaluation and every other strategy come to.
    is_frozen = strategy.precision == "auto" and isinstance(strategy, FrozenParams)
    with arithmetic("float32" if is_frozen else strategy.precision, params.deterministic), devices:
        yield


def _prepare(
    project: Project, params: TrainParams, name: str, clock: StageClock
) -> tuple[StrategyParams, Task, pd.DataFrame]:
    """Return a strategy with all settings, what it is to do, and the table of the images that are validated."""
    if name not in params.strategies:
        raise GraftError(f"There is no strategy '{name}'", did_you_mean(name, params.strategies))
    strategy = params.strategy(name)
    assert strategy.seed is not None  # filled in by TrainParams.strategy
    tables = read_splits(project, ["train", "val"])
    size = _image_size(strategy)
    classes = sorted(set(tables["train"]["label"]))

    def images(split: str) -> Photographs:
        labels, label = class_indices(tables[split]["label"], classes), f"{name}: {split} images"
        return Photographs.of(project, tables[split], size, labels=labels, label=label, clock=clock, split=split)

    in_folds = params.validates_in_folds(len(tables["val"]))
    groups = dict.fromkeys(("train", "val"))
    if in_folds or _cross_validates(strategy):
        groups |= {split: read_groups(project.training_groups, list(tables[split]["sha256"])) for split in groups}
    task = Task(
        name=name,
        classes=classes,
        train=images("train"),
        val=images("val"),
        image_size=size,
        seed=strategy.seed,
        cache=project.cache,
        checkpoint=checkpoint_folder(project, params, name),
        clock=clock,
        store=FeatureStore.of(project, params.store),
        groups=groups["train"],
        val_groups=groups["val"],
    )
    if in_folds and len(np.unique(groups_of_all(task))) >= VALIDATION_FOLDS:
        return strategy, replace(task, folds=VALIDATION_FOLDS), pd.concat(list(tables.values()), ignore_index=True)
    return strategy, task, tables["val"]


def _cross_validates(strategy: StrategyParams) -> bool:
    """Return whether training leaves groups of its own images out, for the penalty of a head."""
    if isinstance(strategy, FrozenParams):
        return strategy.solver == "exact"
    if isinstance(strategy, FineTuneParams):
        return strategy.head_epochs > 0 and not strategy.head.hidden
    return False


def _image_size(strategy: StrategyParams) -> int:
    if isinstance(strategy, FrozenParams) and strategy.members:
        return strategy.members[0].image_size
    if isinstance(strategy.image_size, int):
        return strategy.image_size
    if backbones := _backbones(strategy):
        return default_image_size(backbones[0])
    raise GraftError(
        f"image_size is auto, and a network from random weights ({strategy.kind}) was made for no size",
        "Name one under the strategy in params.yaml: the size of the photographs, or less",
    )


def _backbones(strategy: StrategyParams) -> list[BackboneParams]:
    """Return the backbones that a strategy may train on; none for a network from random weights."""
    if isinstance(strategy, FrozenParams) and strategy.members:
        return [member.backbone for member in strategy.members]
    if isinstance(strategy, TransferParams):
        assert strategy.backbone is not None  # filled in by TrainParams.strategy
        return [strategy.backbone]
    return []


def _write_records(folder: Path, fitted: FittedStrategy) -> None:
    fit = fitted.trained.fit
    # float_format keeps the last bits, which differ between machines, out of files that are compared by hash.
    fit.epochs.drop(columns="seconds").to_csv(folder / "epochs.csv", index=False, float_format="%.6g")
    fit.steps.to_csv(folder / "steps.csv", index=False, float_format="%.6g")
    images = fitted.val_table[["sha256", "label"]]
    predictions = with_probabilities(images, fitted.task.classes, fitted.calibration.probabilities)
    predictions.to_csv(folder / "val_predictions.csv", index=False, float_format="%.6g")
    figures: dict[str, dict[str, float]] = {"val": fitted.validation.headline()}
    if fitted.cross_validation is not None:
        figures["out_of_fold"] = fitted.cross_validation.headline()
    if fitted.task.folds:
        figures["folds"] = {"folds": fitted.task.folds, "images": len(fitted.val_table)}
    write_file(folder / "metrics.json", json.dumps(figures, indent=1))


def _python_files(place: Path) -> list[Path]:
    return [place] if place.suffix else sorted(place.rglob("*.py"))


def work_key(project: Project, params: TrainParams, strategy: StrategyParams) -> str:
    """Return a name for a piece of work by all that decides its outcome: settings, images, labels, weights, versions,
    code.

    Returns:
        16 hex digits.
    """
    code = [path for place in CODE for path in _python_files(GRAFT / place)]
    # Weights that are named rather than brought along are in the code by their digests.
    weights = [path for backbone in _backbones(strategy) for path in backbone.own_files()]
    tables = [project.split_table("train"), project.split_table("val")]
    if _cross_validates(strategy) or params.validation != "split":
        tables.append(project.training_groups)  # which folds keep together
    described = {
        "strategy": strategy.model_dump(mode="json"),
        "deterministic": params.deterministic,
        "validation": params.validation,
        "rows": params.store.precision,
        "versions": {name: metadata.version(name) for name in ("keras", "tensorflow", "pillow", "numpy", "scipy")},
        "code": source_digest(*code),
        "files": [sha256_of(path) for path in (*tables, *weights)],
    }
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:16]
