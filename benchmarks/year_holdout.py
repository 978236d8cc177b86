"""Images that nothing in a simulated year sees, neither training nor the gate, and what versions are right on there."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from graft.core.project import Project

if TYPE_CHECKING:
    pass


def set_aside(
    pool: Mapping[str, Sequence[Path]], share: float, group_by: str
) -> tuple[dict[str, list[Path]], dict[str, list[Path]]]:
    """Return the pool without the images set aside, and those, by class.

    Whole groups are set aside where there are any, and by their names alone, so that every year sets aside the same.

    Args:
        pool: by class, image files.
        share: of the groups of each class, 0..1.
        group_by: as split.group_by in params.yaml: a pattern of names with one group, or none.
    """
    kept: dict[str, list[Path]] = {}
    aside: dict[str, list[Path]] = {}
    for label, files in pool.items():
        groups = [_group(path, group_by) for path in files]
        ordered = sorted(set(groups), key=lambda group: hashlib.sha256(f"aside {group}".encode()).hexdigest())
        chosen = set(ordered[: round(share * len(ordered))])
        kept[label] = [path for path, group in zip(files, groups, strict=True) if group not in chosen]
        aside[label] = [path for path, group in zip(files, groups, strict=True) if group in chosen]
    return kept, aside


def _group(path: Path, group_by: str) -> str:
    found = re.search(group_by, path.name) if group_by != "none" else None
    return found[1] if found else path.name


class HoldOut:
    """The images set aside, and the accuracy of each version on them, asked once.

    Attributes:
        table: columns path, sha256 and label.
    """

    def __init__(self, aside: Mapping[str, Sequence[Path]]) -> None:
        import pandas as pd

        rows = [(str(path.resolve()), _digest(path), label) for label, files in aside.items() for path in files]
        self.table: pd.DataFrame = pd.DataFrame(rows, columns=["path", "sha256", "label"]).drop_duplicates("sha256")
        self._accuracies: dict[str, float] = {}

    def accuracy(self, project: Project, model: str, version: str) -> float:
        """Return the accuracy of a registered version; nan without one, or without images."""
        if not version or self.table.empty:
            return float("nan")
        if version not in self._accuracies:
            from graft.registry.promotion.judge_challenger import ask
            from graft.registry.store.logged_models import files_of_version
            from graft.registry.store.tracking_store import open_store

            with files_of_version(open_store(project), model, version) as (folder, _):
                predictions = ask(project, folder, self.table, self.table.head(1), 64, f"version {version}", "hold-out")
            self._accuracies[version] = float((predictions.predicted() == self.table["label"].to_numpy(str)).mean())
        return self._accuracies[version]


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
