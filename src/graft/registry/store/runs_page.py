"""The page of MLflow that runs are compared on: its address, and the columns it opens with."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment

VIEW = "graft"
# MLflow's pages keep a view that people share as a tag of the experiment, and list it in the menu "Views":
# mlflow/server/js, useSharedExperimentViewState.
VIEW_TAG = f"mlflow.sharedViewState.{VIEW}"
# In pixels, by column: wide enough for its name. What every strategy and ensemble has, test before validation.
COLUMNS = {
    "metrics.`test_accuracy`": 110,
    "metrics.`test_accuracy_low`": 130,
    "metrics.`test_accuracy_high`": 135,
    "metrics.`test_macro_f1`": 115,
    "metrics.`test_log_loss`": 110,
    "metrics.`val_best_accuracy`": 130,
    "metrics.`val_best_log_loss`": 130,
    "attributes.`Duration`": 90,
    "params.`kind`": 90,
}


def runs_page(client: MlflowClient, address: str, dataset: str) -> str:
    """Return the address of the page with the runs of a data set, or with all experiments where it has none yet.

    In MLflow's view of training; by itself MLflow opens that of language models. Runs stand there with the columns of
    the view ``graft``, which is made where the experiment has none of that name; one that a person changed stays.
    """
    experiment = client.get_experiment_by_name(dataset)
    page, query = f"{address.rstrip('/')}/#/experiments", "workflowType=machine_learning"
    if experiment is None:
        return f"{page}?{query}"
    view = f"&viewStateShareKey={VIEW}" if _has_view(client, experiment) else ""
    return f"{page}/{experiment.experiment_id}/runs?{query}{view}"


def _has_view(client: MlflowClient, experiment: Experiment) -> bool:
    """Return whether the experiment has the view, which is made where it lacks; not where it may only be read."""
    from mlflow.exceptions import MlflowException

    if VIEW_TAG in experiment.tags:
        return True
    now = int(time.time() * 1000)
    columns = list(COLUMNS)
    state: dict[str, Any] = {"selectedColumns": columns, "columnOrder": columns, "columnWidths": COLUMNS}
    view = {"name": VIEW, "createdAt": now, "updatedAt": now, "state": json.dumps(state)}
    try:
        client.set_experiment_tag(experiment.experiment_id, VIEW_TAG, json.dumps(view))
    except MlflowException:
        return False
    return True
