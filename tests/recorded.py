"""A tiny project whose strategies are trained and recorded in MLflow, made once and copied for each test."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from tiny import clock, make_project, tiny_params

from graft.core.params import Params
from graft.core.project import Project
from graft.data.splits.split_tables import read_splits
from graft.evaluation.prediction_table import read_prediction_table

SMALL = tiny_params().train.strategies["small"].model_dump()
# Equal but for their names: what tells them apart is written by the tests.
NAMES = ["first", "second"]


def recorded_params(ensemble: dict[str, Any] | None = None, **changes: Any) -> Params:
    return tiny_params(ensemble, run=NAMES, strategies={name: {**SMALL, **changes} for name in NAMES})


def train_and_record(project: Project, params: Params, name: str) -> str:
    """What stage train does, without Prefect; returns the id of the run."""
    from graft.registry.runs.strategy_runs import record_training, training_run
    from graft.training.train import train_strategy

    watch = clock()
    with training_run(project, params.train, name, watch) as run_id:
        result = train_strategy(project, params.train, name, watch)
        tables = read_splits(project, ["train", "val"])
        record_training(project, run_id, result, tables, watch)
    return run_id


def make_recorded(root: Path) -> Project:
    project = make_project(root)
    for name in NAMES:
        train_and_record(project, recorded_params(), name)
    return project


def copy_of(recorded: Project, root: Path) -> Project:
    """Its own project folder with its own store and files, as `cp -r` makes it."""
    from mlflow.tracking._tracking_service import utils

    shutil.copytree(recorded.root, root)
    # MLflow remembers by a run's id alone where its files lie, for the one project that other processes have.
    utils._artifact_repos_cache.clear()
    return Project(root)


def set_figures(project: Project, name: str, **figures: float) -> None:
    """Makes validation figures what a test needs them to be; a log loss is that of each image."""
    set_folder_figures(project.strategy(name), **figures)


def set_folder_figures(folder: Path, **figures: float) -> None:
    """The same in the folder of a strategy or an ensemble."""
    if "log_loss" in figures:
        table = folder / "val_predictions.csv"
        found = read_prediction_table(table)
        right = math.exp(-figures["log_loss"])
        others = [column for column in found.columns if column.startswith("p_")]
        for column in others:
            wrong = (1 - right) / (len(others) - 1)
            found[column] = np.where("p_" + found["label"] == column, right, wrong)
        found.to_csv(table, index=False)
    path = folder / "metrics.json"
    content = json.loads(path.read_text())
    content["val"].update(figures)
    path.write_text(json.dumps(content))
