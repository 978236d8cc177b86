"""Compare MLflow with the pipeline's files here, and find what is to be done again where they disagree.

DVC restores the files of a stage that it ran before, and then does not run it. The effect of `train`, `evaluate` and
`register` lies in MLflow as well, which DVC knows nothing of: there the alias would stay on another model than
``registered.json`` names. So this is asked after each run of the pipeline.
"""

import math
from typing import Any

from graft.core.model_folders import model_folders
from graft.core.params import Params
from graft.core.project import Project
from graft.evaluation.headline import Headline
from graft.registry.aliases import CHALLENGER
from graft.registry.register import registered_record
from graft.registry.runs.strategy_runs import read_run, record_evaluation
from graft.registry.store.read_registry import RegistryReader, read_registry


def mend(project: Project, params: Params) -> list[str]:
    """Compare MLflow with the files of the last run, and mend the records of the test figures.

    Args:
        project: whose pipeline has run to its end.

    Returns:
        Arguments for `dvc repro` that do the rest again: the training of a model that is not in MLflow, or the stage
        `register` where the version or the alias is not there. Empty where everything agrees.

    Raises:
        GraftError: MLflow's store cannot be opened.
    """
    registry = read_registry(project)
    missing = []
    for name, folder in model_folders(project, params).items():
        try:
            run, tested = read_run(folder), Headline.read(project, name).figures
        except FileNotFoundError:
            continue  # not made: the pipeline is not the usual one
        recorded = registry.run_metrics(run["run_id"])
        if recorded is None or registry.logged_model(run["model_uri"].removeprefix("models:/")) is None:
            missing.append(f"{'train' if name in params.train.run else 'ensemble'}@{name}")
        elif not all(math.isclose(recorded.get(f"test_{key}", -1), one.value) for key, one in tested.items()):
            record_evaluation(project, name, folder)
    if missing:
        return ["--force", "--downstream", *missing]
    registered = registered_record(project)
    if registered and not _is_registered(registry, registered):
        return ["--force", "--single-item", "register"]
    return []


def _is_registered(registry: RegistryReader, registered: dict[str, Any]) -> bool:
    """Return whether the challenger is the version that the stage's file names, of the same run."""
    model = registry.model(registered["model"])
    challenger = registry.version(registered["model"], model.aliases.get(CHALLENGER, "")) if model else None
    named = registered["version"], registered["run_id"] or ""
    return challenger is not None and (challenger.version, challenger.run_id) == named
