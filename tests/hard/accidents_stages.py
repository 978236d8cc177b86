"""The stages of `graft run` one after the other, without DVC and Prefect: a model of a few weights is trained.

Before each stage its outputs are removed as DVC removes them: all but those that dvc.yaml calls ``persist``.
"""

import csv
import shutil
from pathlib import Path
from typing import Any

from accidents import Kind, load, rows_of
from tiny import clock, make_project, tinted_images

from graft.core.params import Params
from graft.core.project import SPLITS, Project

PERSIST = ("settled.json", "settled_groups.csv")


class Stages(Kind):
    """Images have come since the last run, which left a champion."""

    def prepare(self) -> None:
        """Import TensorFlow, MLflow and Great Expectations; nothing is computed before a fork."""
        from graft.networks.engines.tensorflow_import import import_tensorflow

        import_tensorflow()
        load("keras", "mlflow.keras", "great_expectations", "openvino", "recorded", "sklearn.metrics")
        load("mlflow.store.model_registry.sqlalchemy_store", "mlflow.store.tracking.sqlalchemy_store")
        load("graft.data.validate_stage", "graft.data.split_stage", "graft.evaluation.evaluate")
        load("graft.registry.register", "graft.training.train", "graft.training.strategies.scratch")

    def make(self, root: Path) -> None:
        """A project after its first run, with a champion, and new images."""
        from PIL import Image

        from graft.registry.promotion.promote import open_registry, promote

        project = make_project(root)
        shutil.rmtree(root / "artifacts")
        self.act(root, 0)
        promote(open_registry(project, "tints"), "1", "for a start", forced=True)
        images, _ = tinted_images(9, size=20, classes=3, seed=77)
        for number, image in enumerate(images):
            Image.fromarray(image).save(project.data / ("red", "green", "blue")[number % 3] / f"new-{number}.png")

    def before(self, root: Path, draw: int) -> Any:
        """Every image, the split of each that had one, and the versions."""
        images = {path.name: path.read_bytes() for path in (root / "data").rglob("*.png")}
        splits = {split: _hashes(Project(root), split) for split in SPLITS}
        return images, splits, _versions(root)

    def act(self, root: Path, draw: int) -> None:
        """All stages."""
        from recorded import train_and_record

        from graft.core.environment import configure
        from graft.core.model_folders import model_folders
        from graft.data.split_stage import split_images
        from graft.data.validate_stage import validate_images
        from graft.evaluation.evaluate import evaluate_models
        from graft.registry.register import register_best
        from graft.registry.runs.strategy_runs import record_evaluations

        project, params = Project(root), _params()
        configure(project)
        _remove(project, "validate")
        validate_images(project, params.validate_, clock())
        _remove(project, "split")
        split_images(project, params, clock())
        _remove(project, "train")
        train_and_record(project, params, "small")
        folders = model_folders(project, params)
        _remove(project, "evaluate")
        evaluate_models(project, folders, params, clock())
        record_evaluations(project, folders, clock())
        _remove(project, "register")
        register_best(project, params.register_, folders)

    def meanwhile(self, root: Path, draw: int) -> None:
        """The command line keeps a second run out by a lock, which these functions do not ask for: the history."""
        from graft.registry.promotion.promote import open_registry

        assert open_registry(Project(root), "tints").line().champion == "1"

    def check_after(self, root: Path, draw: int, before: Any) -> None:
        """No image and no version has gone, no settled test image is trained on, and the champion is who it was."""
        images, splits, versions = before
        assert images == {path.name: path.read_bytes() for path in (root / "data").rglob("*.png")}, "an image is gone"
        assert set(versions) <= set(_versions(root)), "a version is gone"
        assert _champions(root) == [("1",)], f"champions: {_champions(root)}"
        for split in ("train", "val"):
            assert not _hashes(Project(root), split) & splits["test"], f"a test image has moved to {split}"

    def following(self, root: Path, draw: int) -> None:
        """All stages again."""
        self.act(root, draw)

    def check_end(self, root: Path, draw: int, before: Any) -> None:
        """Every image has a split, the test images that were are, and the newest version is the challenger."""
        self.check_after(root, draw, before)
        project = Project(root)
        found = {split: _hashes(project, split) for split in SPLITS}
        assert before[1]["test"] <= found["test"], "a test image has moved"
        assert sum(map(len, found.values())) == len(before[0]), "an image has no split"
        assert (project.artifacts("register") / "registered.json").is_file()


def _params() -> Params:
    from tiny import tiny_params

    params = tiny_params()
    settings = {"min_images_per_class": 1, "min_width": 1, "min_height": 1}
    known = {name: value for name, value in settings.items() if hasattr(params.validate_, name)}
    return params.model_copy(update={"validate_": params.validate_.model_copy(update=known)})


def _remove(project: Project, stage: str) -> None:
    for path in sorted(project.artifacts(stage).rglob("*"), reverse=True):
        if path.is_file() and path.name not in PERSIST:
            path.unlink()


def _hashes(project: Project, split: str) -> set[str]:
    table = project.split_table(split)
    if not table.exists():
        return set()
    with table.open(newline="") as rows:
        return {row["sha256"] for row in csv.DictReader(rows)}


def _versions(root: Path) -> list[tuple[Any, ...]]:
    return rows_of(root, "SELECT version, source FROM model_versions ORDER BY version")


def _champions(root: Path) -> list[tuple[str]]:
    found = rows_of(root, "SELECT version FROM registered_model_aliases WHERE alias = 'champion'")
    return [(str(row[0]),) for row in found]


KIND = Stages()
