"""The folders of what is evaluated, compared and may be registered: trained strategies and their ensembles.

Each has a folder of the same build: ``model/`` (a bundle), ``metrics.json`` (validation figures),
``val_predictions.csv`` and ``run.json`` (its MLflow run).
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from graft.core.files import read_object
from graft.core.params import Params
from graft.core.project import Project


def model_folders(project: Project, params: Params) -> dict[str, Path]:
    """Return the folders of strategies and ensembles by name: strategies first, each in the order of ``run``."""
    strategies = {name: project.strategy(name) for name in params.train.run}
    ensembles = {name: project.ensemble(name) for name in params.ensemble.run}
    return {**strategies, **ensembles}


def in_order_of_promise(project: Project, folders: Mapping[str, Path]) -> dict[str, Path]:
    """Return folders with the strategies first that stage choose found to promise most, else in their order."""
    promising = promising_strategies(project)
    return dict(sorted(folders.items(), key=lambda item: item[0] not in promising))


def promising_strategies(project: Project) -> list[str]:
    """Return the strategies that fine-tune, where stage choose found that this promises more than frozen networks."""
    return list(read_object(project.artifacts("choose") / "choice.json").get("promising", []))


def read_figures(folder: Path) -> dict[str, Any]:
    """Return the figures of a strategy or ensemble: ``val``, and ``folds`` where these are out of fold."""
    figures: dict[str, Any] = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    return figures
