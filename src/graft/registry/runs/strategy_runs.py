"""Log a strategy to MLflow: one run with parameters, curves, figures, data set, model and provenance."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graft.core.errors import GraftError
from graft.core.files import write_file
from graft.core.outside import require_sha256
from graft.core.params.train_params import TrainParams
from graft.core.project import Project
from graft.core.text_tables import read_text_table
from graft.core.timing import StageClock
from graft.data.folder.versioning import dataset_name, tracked_hash
from graft.data.scan.manifest import FOR_SPLIT, read_manifest
from graft.data.splits.split_tables import read_splits, with_paths
from graft.evaluation.figures import confusion_picture, confusion_thumbnail, learning_curves_picture, threshold_picture
from graft.evaluation.metrics import Evaluation
from graft.evaluation.prediction_table import probabilities_of
from graft.evaluation.threshold_curves import curve_tables
from graft.registry.runs.logged_metrics import (
    CLASSES,
    log_metrics,
    metric_name,
    of_batches,
    of_epochs,
    of_model,
    of_run,
)
from graft.registry.store.logged_models import log_bundle
from graft.registry.store.provenance import provenance_tags
from graft.registry.store.seen_images import images_of, log_seen_images
from graft.registry.store.tracking_store import experiment_id, open_store
from graft.registry.store.usable import require_files, require_models
from graft.training.chosen_settings import with_chosen

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from mlflow import MlflowClient
    from mlflow.entities import Dataset, Metric

    from graft.training.train import FittedStrategy

RUN_FILE = "run.json"
# Where MLflow keeps what its pages call a description.
DESCRIPTION_TAG = "mlflow.note.content"
# A matrix of more classes is told by its pairs that occur: a thousand classes have a million cells.
_MATRIX_CLASSES = 100


@contextmanager
def open_run(project: Project, name: str, settings: Mapping[str, Any], clock: StageClock) -> Iterator[str]:
    """Open the run of a strategy or an ensemble, with its settings and where it comes from, and yield its id.

    An exception in the block marks the run as failed.
    """
    with clock.span("mlflow import", "imports"):
        import mlflow
    with clock.span("mlflow run", "mlflow"):
        client = open_store(project)
        dataset = dataset_name(project)
        tags = {"strategy": name, "dataset": dataset, **provenance_tags(project)}
        experiment = experiment_id(project, client, dataset)
        uri, is_served = project.tracking_uri, project.tracking_is_served
        if is_served:
            require_models(client, experiment, uri)
        run = mlflow.start_run(experiment_id=experiment, run_name=name, tags=tags, log_system_metrics=False)
    try:
        with clock.span("mlflow params", "mlflow"):
            mlflow.log_params(flatten(settings))
            if not project.tracking_is_own:
                require_files(client, run, settings, uri, is_served)
        yield run.info.run_id
    except BaseException:
        mlflow.end_run("FAILED")
        raise
    mlflow.end_run()


def training_run(project: Project, params: TrainParams, name: str, clock: StageClock) -> AbstractContextManager[str]:
    """Open a run for one strategy, see :func:`open_run`."""
    return open_run(project, name, with_chosen(project, params, name).strategy(name).model_dump(), clock)


def record_training(
    project: Project, run_id: str, result: FittedStrategy, tables: Mapping[str, pd.DataFrame], clock: StageClock
) -> None:
    """Log what training left into its run, and write the run's id beside the strategy's other outputs.

    Args:
        tables: train and val, with paths, see :func:`graft.data.splits.split_tables.read_splits`.
    """
    import mlflow
    from mlflow import MlflowClient

    fit = result.trained.fit
    with clock.span("mlflow log", "mlflow"):
        log_seen_images(MlflowClient(), run_id, images_of(tables))
        mlflow.set_tags(
            {
                "weights.source": result.trained.weights_source,
                "weights.digest": result.trained.weights_digest,
                "best_epoch": str(fit.best_epoch + 1),
                "validation": f"{result.task.folds} folds of train and val" if result.task.folds else "val",
                **{f"machine.{name}": value for name, value in result.machine.items()},
            }
        )
        total, trained = result.trained.parameter_counts
        mlflow.log_params({"parameters_total": total, "parameters_trained": trained})
        with tempfile.TemporaryDirectory() as folder:
            curves = Path(folder) / "learning_curves.png"
            if learning_curves_picture(curves, fit.epochs, fit.best_epoch, result.name):
                mlflow.log_artifact(str(curves))
        for file in ("steps.csv", "epochs.csv"):
            mlflow.log_artifact(str(result.folder / file), "curves")

    def curves_of(model_id: str, val: Dataset) -> list[Metric]:
        temperature = of_model({"temperature": result.calibration.temperature}, model_id, val)
        crossed = {} if result.cross_validation is None else result.cross_validation.headline()
        return [
            *temperature,
            *of_run({f"out_of_fold_best_{name}": value for name, value in crossed.items()}),
            *of_batches(fit.steps),
            *of_epochs(fit.epochs, fit.best_epoch, model_id, val),
        ]

    log_result(
        project, run_id, result.name, result.folder, result.task.classes, result.validation, tables, clock, curves_of
    )


def log_result(
    project: Project,
    run_id: str,
    name: str,
    folder: Path,
    classes: list[str],
    validation: Evaluation,
    tables: Mapping[str, pd.DataFrame],
    clock: StageClock,
    curves_of: Callable[[str, Dataset], list[Metric]] = lambda model_id, val: [],
) -> None:
    """Log what strategies and ensembles have in common into the open run: data, validation figures, model, times.

    The model comes before any metric: MLflow would put those of epoch 0 onto its page.

    Args:
        run_id: of the open run; written into ``folder`` with the model's URI.
        classes: in the order of the confusion matrix.
        tables: the splits that it was made from, with paths.
        curves_of: further metrics, for the id of the logged model and the data set of validation.
    """
    from mlflow import MlflowClient

    client = MlflowClient()
    with clock.span("mlflow log", "mlflow"):
        datasets = {split: _dataset(project, table, split) for split, table in tables.items()}
        _log_inputs(client, run_id, datasets)
        _log_confusion(validation, classes, f"{name}, validation", "val")
        example = project.data / tables["val"]["path"].iloc[0]
        model_uri, digest = log_bundle(folder / "model", example, name)
        model_id = model_uri.removeprefix("models:/")
        best = {f"val_best_{key}": value for key, value in validation.headline().items()}
        metrics = of_model(best, model_id, datasets["val"]) + curves_of(model_id, datasets["val"])
        log_metrics(client, run_id, metrics)
    times = {f"seconds_{name.replace(' ', '_')}": spent for name, spent in clock.by_name().items()}
    log_metrics(client, run_id, of_run(times))
    record = {
        "run_id": run_id,
        "model_uri": model_uri,
        "model_sha256": digest,
        "seconds": round(clock.seconds("compute"), 1),
    }
    write_file(folder / RUN_FILE, json.dumps(record, indent=1))


def record_evaluations(project: Project, folders: Mapping[str, Path], clock: StageClock) -> None:
    """Add test figures to the runs of strategies and ensembles; ``folders`` as in :mod:`graft.core.model_folders`."""
    with clock.span("mlflow import", "imports"):
        import mlflow  # noqa: F401
    with clock.span("mlflow log", "mlflow"):
        open_store(project)
        for name, folder in folders.items():
            record_evaluation(project, name, folder)


def record_evaluation(project: Project, name: str, made: Path) -> None:
    """Add the figures of the test split, its confusion matrix and its curves to the run of a strategy or ensemble.

    ``made`` is the folder of its outputs, see :mod:`graft.core.model_folders`.
    """
    import pandas as pd
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from PIL import Image

    folder = project.artifacts("evaluate")
    figures = json.loads((folder / "figures" / f"{name}.json").read_text(encoding="utf-8"))

    def table(kind: str, text: tuple[str, ...] | None = None) -> pd.DataFrame:
        path = folder / kind / f"{name}.csv"
        return read_text_table(path, f"a table of '{name}'", "Make it with `dvc repro evaluate`", text=text)

    per_class, pairs = table("per_class", ("class",)), table("confusion")
    classes = list(per_class["class"])
    counts = pd.crosstab(pairs["actual"], pairs["predicted"]).reindex(index=classes, columns=classes, fill_value=0)
    metrics = {f"test_{metric}": float(value) for metric, value in figures.items()}
    if len(per_class) <= CLASSES:
        for row in per_class.to_dict("records"):
            for metric in ("precision", "recall"):
                metrics[f"test_{metric_name(row['class'])}_{metric}"] = float(row[metric])

    # By the client rather than by opening the run again, which would count the time in between as training.
    client = MlflowClient()
    run = read_run(made)
    run_id = run["run_id"]
    test = _dataset(project, read_splits(project, ["test"])["test"], "test")
    _log_inputs(client, run_id, {"test": test})
    model_id = run["model_uri"].removeprefix("models:/")
    log_metrics(client, run_id, of_model(metrics, model_id, test))
    with suppress(MlflowException):  # of a model that is in the store no longer
        client.set_logged_model_tags(model_id, {DESCRIPTION_TAG: _in_words(project, name, figures)})
    client.log_text(run_id, per_class.to_csv(index=False), "test/per_class.csv")
    client.log_dict(run_id, confusion_table(counts.to_numpy(), classes), "test/confusion.json")
    # A run is a record of its time, so here an image has the path that it had.
    predictions = with_paths(table("predictions"), read_manifest(project.manifest, columns=FOR_SPLIT), "test")
    client.log_text(run_id, predictions.to_csv(index=False), "test/predictions.csv")
    picture = folder / "pictures" / f"{name}.png"
    if picture.is_file():  # one that cannot be drawn is none
        client.log_image(run_id, Image.open(picture), artifact_file="test/confusion.png")
    tables = curve_tables({name: probabilities_of(predictions)})
    for curve, rows in tables.items():
        # As tables MLflow lays them side by side for several runs.
        client.log_table(run_id, rows.rename(columns={name: "value"}), f"test/{curve}.json")
    with tempfile.TemporaryDirectory() as temporary:
        curves = Path(temporary) / "thresholds.png"
        if threshold_picture(curves, tables, f"{name}, test"):
            client.log_image(run_id, Image.open(curves).convert("RGB"), key="test_thresholds", step=0)
        thumbnail = Path(temporary) / "confusion.png"
        if confusion_thumbnail(thumbnail, counts.to_numpy(), classes):
            # Under a key it becomes a chart: MLflow then shows the matrices of several runs side by side.
            client.log_image(run_id, Image.open(thumbnail).convert("RGB"), key="test_confusion_matrix", step=0)


def _in_words(project: Project, name: str, figures: Mapping[str, float]) -> str:
    """Return what MLflow's page of a model says of it, from its test figures."""
    low, high = figures["accuracy_low"], figures["accuracy_high"]
    return (
        f"{name}, on photographs of {dataset_name(project)}: {figures['accuracy']:.1%} [{low:.1%}, {high:.1%}] of "
        f"{figures['images']:,.0f} test images right, macro-F1 {figures['macro_f1']:.3f}, log loss "
        f"{figures['log_loss']:.4f}. Its curves, pictures and predictions are with its source run."
    )


def read_run(folder: Path) -> dict[str, Any]:
    """Return the record that :func:`log_result` wrote into the folder of a strategy or ensemble.

    Keys are run_id, model_uri, seconds (of compute) and model_sha256 (of all the model's files, see
    :mod:`graft.registry.store.logged_models`).

    Raises:
        FileNotFoundError: nothing was recorded there.
        GraftError: the file holds something else; it comes through DVC's cache, from wherever that is.
    """
    file = folder / RUN_FILE
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        is_ours = re.fullmatch(r"[0-9a-f]{32}", record["run_id"]) and re.fullmatch(
            r"models:/m-[0-9a-f]{32}", record["model_uri"]
        )
        require_sha256(record["model_sha256"], str(file))
    except (ValueError, TypeError, KeyError):
        is_ours = None
    if not is_ours:
        raise GraftError(f"{file} is not what a stage writes there", "Make it again: dvc repro --force")
    return dict(record)


def confusion_table(counts: np.ndarray, classes: list[str]) -> dict[str, Any]:
    """Return a confusion matrix JSON-ready, in the order of ``classes``.

    That is counts ``[C, C]`` and shares of each actual class; beyond a hundred classes instead of both ``pairs``: a
    list of actual class, predicted class, count and share for each pair that occurs, as positions in ``classes``.
    """
    shares = (counts / counts.sum(axis=1, keepdims=True).clip(min=1)).round(6)
    if len(classes) <= _MATRIX_CLASSES:
        return {"classes": classes, "counts": counts.tolist(), "shares": shares.tolist()}
    rows, columns = counts.nonzero()
    values = [counts[rows, columns].tolist(), shares[rows, columns].tolist()]
    return {"classes": classes, "pairs": list(zip(rows.tolist(), columns.tolist(), *values, strict=True))}


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested settings to one level: ``{"augment": {"flip": "none"}}`` becomes ``{"augment.flip": "none"}``."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _dataset(project: Project, table: pd.DataFrame, split: str) -> Dataset:
    import mlflow.data
    from mlflow.data.sources import LocalArtifactDatasetSource
    from mlflow.entities import Dataset

    # A name per split: MLflow takes equal name and digest for one data set. The digest is DVC's hash of the raw
    # data, cut to MLflow's limit of 36 characters.
    digest = (tracked_hash(project) or "")[:36] or None
    described = mlflow.data.from_pandas(
        table,
        source=LocalArtifactDatasetSource(str(project.split_table(split))),
        targets="label",
        name=f"{dataset_name(project)}-{split}",
        digest=digest,
    ).to_dict()
    return Dataset(**described)


def _log_inputs(client: MlflowClient, run_id: str, datasets: Mapping[str, Dataset]) -> None:
    """Log the data sets, by split, as inputs of a run."""
    from mlflow.entities import DatasetInput, InputTag

    inputs = [DatasetInput(dataset, [InputTag("mlflow.data.context", split)]) for split, dataset in datasets.items()]
    client.log_inputs(run_id, inputs)


def _log_confusion(evaluation: Evaluation, classes: list[str], title: str, split: str) -> None:
    import mlflow

    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "confusion.png"
        if confusion_picture(picture, evaluation.confusion, classes, title):
            mlflow.log_artifact(str(picture), split)
    mlflow.log_dict(confusion_table(evaluation.confusion, classes), f"{split}/confusion.json")
