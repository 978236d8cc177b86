"""A study in MLflow: one run for the study, and in it a nested run for each seed, share or option."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from graft.core.project import Project
from graft.registry.store.tracking_store import start_run

if TYPE_CHECKING:
    import pandas as pd

# Names of columns that say what a row is about; all others are figures.
_ABOUT = ("seed", "share", "without")


@dataclass(frozen=True)
class Study:
    """The results of a study.

    Attributes:
        kind: cv, curve or ablate.
        strategy: that was studied.
        settings: of the study.
        rows: one for each nested run: seed, share or without says what it is about, the rest is its figures.
        figures: of the study as a whole.
        tables: written as CSV, by file name.
    """

    kind: str
    strategy: str
    settings: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]]
    figures: Mapping[str, float]
    tables: Mapping[str, pd.DataFrame]


def record_study(project: Project, study: Study) -> str:
    """Write a study into MLflow; return the id of its run."""
    import mlflow

    tags = {"strategy": study.strategy, "study": study.kind}
    with start_run(project, f"{study.kind} {study.strategy}", tags) as run:
        mlflow.log_params(dict(study.settings))
        mlflow.log_metrics(dict(study.figures))
        for name, table in study.tables.items():
            mlflow.log_text(table.to_csv(index=False), name)
    for row in study.rows:
        about = {key: row[key] for key in _ABOUT if key in row}
        name = " ".join(f"{key} {value}" for key, value in about.items()) if any(about.values()) else "as it is"
        with start_run(project, name, tags, parent=run.info.run_id):
            mlflow.log_params(about)
            mlflow.log_metrics({key: float(value) for key, value in row.items() if key not in about})
    return str(run.info.run_id)
