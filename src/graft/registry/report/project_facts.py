"""Collect what a report says of the data, the split, the machine and the steps of a run: from files alone."""

from __future__ import annotations

import platform
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from graft.core.dvc_lock import outputs_of
from graft.core.files import read_object
from graft.core.project import SPLITS, Project
from graft.core.text_tables import read_text_table
from graft.core.yaml_text import read_mapping
from graft.data.checks.check_verdict import Verdict, read_verdict
from graft.data.folder.versioning import dataset_name, pointer_file, tracked_hash
from graft.data.scan.leaving_out import kind_of
from graft.registry.store.provenance import git_tags

PACKAGES = (
    *("graft", "tensorflow", "keras", "openvino", "onnxruntime", "numpy", "pandas", "scikit-learn", "pillow"),
    *("dvc", "mlflow", "prefect", "great-expectations"),
)
NOT_STATED = "not stated"
# Of the data's hash and of outputs, shown.
HASH_DIGITS = 12


@dataclass(frozen=True)
class Step:
    """A stage of the pipeline: when it last ended, its seconds, and how many of them were work on the images."""

    name: str
    ended: datetime
    seconds: float
    compute: float


@dataclass(frozen=True)
class ProjectFacts:
    """The facts that hold for all models of a run.

    Attributes:
        dataset, source, licence: of the photographs, as data.dvc has them.
        data_hash: DVC's, of data/; "" where it is not tracked.
        classes: number of images by class and split; empty where there is no split yet.
        left_out: number of files by the reason why they take no part.
        split: the record of stage split.
        verdicts: on the photographs and on the split.
        steps: in the order in which they ended.
        environment: packages and their versions, the system first.
        choice: the record of stage choose; ``tried``: the rows of its table.
        commit: that is checked out, "" outside git; ``is_dirty``: whether the inputs differ from it.
        outputs: of stages: stage, path and DVC's hash.
    """

    dataset: str
    source: str
    licence: str
    data_hash: str
    classes: dict[str, dict[str, int]]
    left_out: dict[str, int]
    split: dict[str, Any]
    verdicts: dict[str, Verdict]
    steps: list[Step]
    environment: list[tuple[str, str]]
    choice: dict[str, Any]
    tried: list[dict[str, str]]
    commit: str
    is_dirty: bool
    outputs: list[tuple[str, str, str]]

    @property
    def counts(self) -> dict[str, int]:
        """The number of images in each split."""
        return {split: sum(own.get(split, 0) for own in self.classes.values()) for split in SPLITS}

    @property
    def has_licence(self) -> bool:
        return self.licence.lower() != NOT_STATED


def project_facts(project: Project) -> ProjectFacts:
    """Return the facts of a project, as far as its pipeline has run; what is not there is empty.

    Raises:
        GraftError: a file is there but is not what a stage writes.
    """
    meta = read_mapping(pointer_file(project), "Restore it with `git checkout data.dvc`").get("meta") or {}
    split, choice = read_object(project.artifacts("split") / "summary.json"), project.artifacts("choose")
    verdicts = {}
    for name, stage in (("The photographs", "validate"), ("The split", "split")):
        if (file := project.artifacts(stage) / "verdict.json").is_file():
            verdicts[name] = read_verdict(file)
    tried = choice / "tried.csv"
    git = git_tags(project)
    return ProjectFacts(
        dataset=dataset_name(project),
        source=str(meta.get("source") or NOT_STATED),
        licence=str(meta.get("licence") or NOT_STATED),
        data_hash=tracked_hash(project) or "",
        classes=split.get("classes", {}),
        left_out=_left_out(project.artifacts("validate") / "left_out.csv"),
        split=split,
        verdicts=verdicts,
        steps=_steps(project.timings),
        environment=_environment(),
        choice=read_object(choice / "choice.json"),
        tried=_rows(tried) if tried.is_file() else [],
        commit=git.get("git.commit", ""),
        is_dirty=git.get("git.dirty") == "yes",
        outputs=[
            (name, str(out["path"]), str(out.get("md5", "")))
            for name, outputs in outputs_of(project).items()
            for out in outputs
        ],
    )


def _rows(path: Path) -> list[dict[str, str]]:
    table = read_text_table(path, "a table of what was tried", "Make it with `dvc repro choose`")
    return [{str(key): str(value) for key, value in row.items()} for row in table.to_dict("records")]


def _left_out(path: Path) -> dict[str, int]:
    if not path.is_file():
        return {}
    table = read_text_table(path, "a list of what is left out", "Make it with `dvc repro validate`", ["path", "reason"])
    return dict(Counter(kind_of(reason) for reason in table["reason"]).most_common())


def _steps(folder: Path) -> list[Step]:
    steps = []
    for path in folder.glob("*.json"):
        record = read_object(path)
        compute = sum(span["seconds"] for span in record["spans"] if span["kind"] == "compute")
        ended = datetime.fromtimestamp(record["finished"], UTC)
        steps.append(Step(path.stem, ended, float(record["total"]), float(compute)))
    return sorted(steps, key=lambda step: step.ended)


def _environment() -> list[tuple[str, str]]:
    found = [("system", platform.platform()), ("python", platform.python_version())]
    for package in PACKAGES:
        try:
            found.append((package, version(package)))
        except PackageNotFoundError:
            continue
    return found
