"""Log metrics as MLflow takes them: valid names, a bounded number of rows, and the model that they are about.

A row of MLflow's table costs about a millisecond, and its pages draw a few hundred points of a curve. What has more
of them lies beside, as a table: every batch in ``curves/steps.csv``, every class in ``test/per_class.csv``.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient
    from mlflow.entities import Dataset, Metric

# Points of one curve, classes that have metrics of their own, and metrics in one call (MLflow's documented limit).
POINTS, CLASSES, METRICS_PER_CALL = 200, 50, 1000
# MLflow takes 250 characters, of which a prefix and a suffix need some.
_NAME_LENGTH = 200
# Labels whose precision and recall would have the names of figures over all classes, such as test_macro_recall.
_OVER_ALL = frozenset({"average", "macro", "weighted"})


def metric_name(label: str) -> str:
    """Return a class name as a part of a metric's name: as it is where MLflow takes it, else with a hash of itself.

    MLflow takes letters and digits of any script, ``_``, ``-``, ``.`` and spaces. Other characters become ``_``, and
    six hex digits of the label's SHA-256 follow, so that ``C++`` and ``C#`` are two metrics. The name depends on the
    label alone, so that it is the same in every run.
    """
    plain = re.sub(r"[^\w\-. ]", "_", label)[:_NAME_LENGTH]
    # A label that looks as if it had a hash behind it gets one, lest it be taken for another's name.
    is_free = label not in _OVER_ALL and not re.search(r"-[0-9a-f]{6}$", label)
    if label and plain == label == label.strip() and is_free:
        return label
    return f"{plain.strip()}-{hashlib.sha256(label.encode()).hexdigest()[:6]}"


def of_model(figures: Mapping[str, float], model_id: str, dataset: Dataset, step: int = 0) -> list[Metric]:
    """Return metrics that MLflow shows on the page of the run and on that of its model, with the data set.

    Args:
        model_id: the logged model, ``m-`` and 32 hex digits.
    """
    about = {"dataset_name": dataset.name, "dataset_digest": dataset.digest}
    return of_run(figures, step, model_id=model_id, **about)


def of_run(figures: Mapping[str, float], step: int = 0, **about: str) -> list[Metric]:
    """Return metrics that MLflow shows on the page of the run, and nowhere else but where ``about`` names it."""
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    return [Metric(name, float(value), now, step, **about) for name, value in figures.items()]


def of_batches(steps: pd.DataFrame) -> list[Metric]:
    """Return the curves ``batch_loss`` and ``batch_accuracy``; beyond ``POINTS``, each point is a mean of neighbours.

    Args:
        steps: a row per batch with step, loss and accuracy, in order.
    """
    width = -(-len(steps) // POINTS)
    groups = steps.reset_index(drop=True).groupby(lambda row: row // width)
    points = groups.agg({"step": "last", "loss": "mean", "accuracy": "mean"})
    return [
        metric
        for row in points.to_dict("records")
        for metric in of_run({"batch_loss": row["loss"], "batch_accuracy": row["accuracy"]}, step=int(row["step"]))
    ]


def of_epochs(epochs: pd.DataFrame, best: int, model_id: str, dataset: Dataset) -> list[Metric]:
    """Return the curves of all columns by epoch, at ``POINTS`` epochs at most, of which the chosen one is one.

    The ``val_`` figures of the chosen epoch, and of no other, are the model's too.

    Args:
        epochs: a row per epoch, with its number, from 0.
        best: the epoch whose weights the model has.
        model_id, dataset: as of :func:`of_model`; the data set is that of validation.
    """
    width = -(-len(epochs) // POINTS)
    metrics = []
    for row in epochs.to_dict("records"):
        epoch = int(row.pop("epoch"))
        figures = {str(name): float(value) for name, value in row.items()}
        if epoch == best:
            metrics += of_model(
                {name: value for name, value in figures.items() if name.startswith("val_")},
                model_id,
                dataset,
                step=epoch,
            )
            figures = {name: value for name, value in figures.items() if not name.startswith("val_")}
        elif (len(epochs) - 1 - epoch) % width:
            continue
        metrics += of_run(figures, step=epoch)
    return metrics


def log_metrics(client: MlflowClient, run_id: str, metrics: Iterable[Metric]) -> None:
    """Write metrics into a run in as few calls as MLflow allows."""
    rows = list(metrics)
    for start in range(0, len(rows), METRICS_PER_CALL):
        client.log_batch(run_id, metrics=rows[start : start + METRICS_PER_CALL])
