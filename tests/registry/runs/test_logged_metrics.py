"""Metrics as MLflow takes them: distinct valid names, and a bounded number of them."""

import itertools
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlflow.entities import Dataset

from graft.evaluation.all_figures import all_figures
from graft.registry.runs.logged_metrics import (
    METRICS_PER_CALL,
    POINTS,
    log_metrics,
    metric_name,
    of_batches,
    of_epochs,
    of_run,
)

SETS = [
    ["+", "-", "=", "!"],
    ["C", "C++", "C#", "c", "C_", "C__"],
    ["a", "b", "a b", "a_b", "a-b", "a.b", "a/b", "a:b", " a b", "a  b"],
    ["é", "e\u0301", "e", "%", "&", "🚲", "🚗", ".", ".."],
]
DATASET = Dataset("tints-val", "0123", "local", "{}")
MODEL = f"m-{'0' * 32}"


@pytest.mark.parametrize("label", ["red", "no entry", "größe", "犬", "a_b", "a-b", "1e3", "null", "-x", "v1.0"])
def test_c9_a_name_that_mlflow_takes_stays_as_it_is(label: str) -> None:
    assert metric_name(label) == label


@pytest.mark.parametrize("labels", SETS)
def test_case_17_every_class_has_a_metric_of_its_own(labels: list[str]) -> None:
    assert len({metric_name(label) for label in labels}) == len(labels)


def test_case_17_no_class_has_the_metric_of_a_figure_over_all_classes() -> None:
    figures = all_figures(
        np.array([0, 1, 0, 1]), np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.3, 0.7]]), "ab"
    ).figures
    about_all = {name.rpartition("_")[0] for name in figures if name.endswith(("_precision", "_recall"))}
    assert "macro" in about_all
    assert not about_all & {metric_name(label) for label in about_all}


@pytest.mark.parametrize(("label", "readable"), [("C++", "C__-"), ("no entry!", "no entry_-"), (" red ", "red-")])
def test_c9_other_names_stay_readable_and_are_the_same_in_every_run(label: str, readable: str) -> None:
    assert metric_name(label).startswith(readable)
    assert metric_name("C++") == "C__-f1deb7"


@settings(deadline=None)
@given(st.lists(st.text(max_size=300), unique=True, max_size=20))
def test_c9_whatever_classes_are_called_their_metrics_are_valid_and_distinct(labels: list[str]) -> None:
    labels += [metric_name(label) for label in labels if metric_name(label) not in labels]
    names = [f"test_{metric_name(label)}_precision" for label in labels]
    for name in names:
        mlflow.utils.validation._validate_metric(name, 1.0, 0, 0)
    assert len(set(names)) == len(labels)


@pytest.mark.parametrize("count", [1, POINTS, POINTS + 1, 12_345])
def test_d9_a_curve_of_batches_has_a_bounded_number_of_points(count: int) -> None:
    loss = np.random.default_rng(0).random(count)
    steps = pd.DataFrame({"epoch": 0, "step": range(count), "loss": loss, "accuracy": 1 - loss})
    metrics = of_batches(steps)
    points = [metric for metric in metrics if metric.key == "batch_loss"]
    assert len(points) * 2 == len(metrics) <= 2 * POINTS
    assert points[-1].step == count - 1
    assert all(one.step < two.step for one, two in itertools.pairwise(points))
    width = points[0].step + 1
    assert points[0].value == pytest.approx(loss[:width].mean())
    if count <= POINTS:
        assert [point.value for point in points] == pytest.approx(loss.tolist())


def test_d9_of_many_epochs_the_chosen_one_and_the_last_are_there() -> None:
    count, best = 1501, 703
    epochs = pd.DataFrame({"epoch": range(count), "loss": 1.0, "val_loss": np.arange(count) / count, "seconds": 0.1})
    metrics = of_epochs(epochs, best, MODEL, DATASET)
    assert len(metrics) <= 3 * (POINTS + 1)
    steps = {metric.step for metric in metrics}
    assert {best, count - 1} <= steps
    (of_model,) = [metric for metric in metrics if metric.model_id]
    assert (of_model.key, of_model.step, of_model.value) == ("val_loss", best, pytest.approx(best / count))
    assert (of_model.model_id, of_model.dataset_name, of_model.dataset_digest) == (MODEL, "tints-val", "0123")


def test_d9_metrics_go_out_in_as_few_calls_as_mlflow_allows() -> None:
    class Client:
        def __init__(self) -> None:
            self.calls: list[int] = []

        def log_batch(self, run_id: str, metrics: list[Any]) -> None:
            self.calls.append(len(metrics))

    client: Any = Client()
    log_metrics(client, "run", of_run({str(number): 0.0 for number in range(METRICS_PER_CALL + 1)}))
    assert client.calls == [METRICS_PER_CALL, 1]
