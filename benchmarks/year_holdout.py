"""Images that nothing in a simulated year sees, neither training nor the gate, and what versions are right on there."""

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import pandas as pd

from graft.core.project import Project


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
    """The images set aside, and the answers of each version for them, asked once.

    Attributes:
        table: columns path, sha256 and label.
        paths: of each image by SHA-256, also of those that were added.
    """

    def __init__(self, aside: Mapping[str, Sequence[Path]]) -> None:
        rows = [(str(path.resolve()), _digest(path), label) for label, files in aside.items() for path in files]
        self.table: pd.DataFrame = pd.DataFrame(rows, columns=["path", "sha256", "label"]).drop_duplicates("sha256")
        self.paths = dict(zip(self.table["sha256"], self.table["path"], strict=True))
        self._asked = self.table
        self._answers: dict[str, dict[str, tuple[str, float]]] = {}

    def add(self, rows: Sequence[tuple[str, str, str]]) -> None:
        """Have versions also be asked about images that are not in the table: path, sha256 and label of each."""
        more = pd.DataFrame(rows, columns=list(self.table))
        self._asked = pd.concat([self._asked, more], ignore_index=True).drop_duplicates("sha256")
        self.paths |= dict(zip(more["sha256"], more["path"], strict=True))

    def answers(self, project: Project, model: str, version: str) -> dict[str, tuple[str, float]]:
        """Return label and probability by SHA-256, of a registered version."""
        if version not in self._answers:
            from graft.registry.promotion.judge_challenger import ask
            from graft.registry.store.logged_models import files_of_version
            from graft.registry.store.tracking_store import open_store

            with files_of_version(open_store(project), model, version) as (folder, _):
                found = ask(project, folder, self._asked, self._asked.head(1), 64, f"version {version}", "hold-out")
            both = zip(found.predicted().tolist(), found.probabilities.max(axis=1).tolist(), strict=True)
            self._answers[version] = dict(zip(found.sha256, both, strict=True))
        return self._answers[version]

    def accuracy(self, project: Project, model: str, version: str, classes: Collection[str] | None = None) -> float:
        """Return the accuracy of a registered version on images of some classes; nan without one, or without images."""
        table = self.table if classes is None else self.table[self.table["label"].isin(set(classes))]
        if not version or table.empty:
            return float("nan")
        answers = self.answers(project, model, version)
        right = [answers[one][0] == label for one, label in zip(table["sha256"], table["label"], strict=True)]
        return sum(right) / len(right)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
