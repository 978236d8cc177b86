"""Evaluate the bundle of every strategy and ensemble on the untouched test split, and write the results."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from graft.core.files import write_file
from graft.core.model_folders import read_figures
from graft.core.params import Params
from graft.core.project import Project
from graft.core.timing import StageClock
from graft.data.splits.image_groups import read_groups
from graft.data.splits.split_tables import read_splits
from graft.evaluation.all_figures import all_figures
from graft.evaluation.bundle_probabilities import EvaluationInputs, bundle_probabilities
from graft.evaluation.figures import confusion_picture
from graft.evaluation.metrics import Evaluation, evaluate
from graft.evaluation.prediction_table import class_indices, with_probabilities
from graft.evaluation.threshold_curves import curve_tables
from graft.networks.decode_images import Photographs
from graft.networks.engines.open_classifier import open_classifier
from graft.networks.features.feature_store import FeatureStore


class TestImages:
    """The test split at each image size that a model asks for; decoded once, and no sooner than pixels are needed."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.table = read_splits(project, ["test"])["test"]
        self.groups = read_groups(project.test_groups, list(self.table["sha256"]))
        self._by_size: dict[int, Photographs] = {}

    def at(self, size: int) -> Photographs:
        """Return the images in the order of the table, ``[N, size, size, 3]``."""
        if size not in self._by_size:
            label = f"test images at {size} px"
            self._by_size[size] = Photographs.of(self.project, self.table, size, label=label)
        return self._by_size[size]


@dataclass(frozen=True)
class EvaluatedBundle:
    """The predictions of a bundle for the test images, and how good they are.

    Attributes:
        probabilities: float32 ``[N, C]``, of the images in the order of their table.
        classes: of the columns.
        evaluation: the figures.
    """

    probabilities: np.ndarray
    classes: list[str]
    evaluation: Evaluation


def evaluate_models(project: Project, folders: Mapping[str, Path], params: Params, clock: StageClock) -> None:
    """Run each bundle over the test images, and write figures, predictions and pictures.

    Args:
        folders: of strategies and ensembles by name, see :mod:`graft.core.model_folders`.
    """
    images = TestImages(project)
    store = FeatureStore.of(project, params.train.store)
    evaluated = {}
    for name, folder in folders.items():
        evaluated[name] = evaluate_bundle(name, folder, images, params.evaluate.batch_size, clock, store)
        write_evaluation(name, evaluated[name], images)
    write_together(project, evaluated, folders, images)


def evaluate_bundle(
    name: str, made: Path, images: TestImages, batch_size: int, clock: StageClock, store: FeatureStore | None = None
) -> EvaluatedBundle:
    """Return the figures of one strategy or ensemble on the test split; write nothing.

    What is evaluated is the bundle in ``made``, see :mod:`graft.core.model_folders`: the very files that are registered
    and served, on the engine that serves them; by which way, and how that is made sure, is
    :mod:`graft.evaluation.bundle_probabilities`'s. Features in ``store`` are not computed again.
    """
    with clock.span(f"load {name}"):
        model = open_classifier(made / "model", len(images.table))
    with clock.span(f"predict {name}"):
        inputs = EvaluationInputs(images.at, len(images.table), batch_size, store, images.project.cache)
        probabilities = bundle_probabilities(model, inputs, f"{name}: test images")
    labels = class_indices(images.table["label"], model.classes)
    return EvaluatedBundle(probabilities, model.classes, evaluate(labels, probabilities, model.classes))


def write_together(
    project: Project, evaluated: Mapping[str, EvaluatedBundle], folders: Mapping[str, Path], images: TestImages
) -> None:
    """Write what DVC shows of all models at once: one file of figures, and tables whose columns are models.

    Strategies and ensembles have tables of their own: dvc.yaml names the columns of a plot, from params.yaml.
    """
    figures = {}
    for name, found in evaluated.items():
        test = found.evaluation.headline()
        figures[name] = {"acc": test["accuracy"], "f1": test["macro_f1"], "loss": test["log_loss"]}
        figures[name]["val_loss"] = read_figures(folders[name])["val"]["log_loss"]
    folder = project.artifacts("evaluate")
    write_file(folder / "metrics.json", json.dumps(figures, indent=1))
    ensembles = {name for name in evaluated if folders[name] == project.ensemble(name)}
    for kind, names in (("strategies", set(evaluated) - ensembles), ("ensembles", ensembles)):
        models = {
            name: (class_indices(images.table["label"], found.classes), found.probabilities)
            for name, found in evaluated.items()
            if name in names
        }
        (folder / "curves" / kind).mkdir(parents=True, exist_ok=True)
        for curve, table in curve_tables(models).items():
            table.to_csv(folder / "curves" / kind / f"{curve}.csv", index=False, float_format="%.6g")


def write_evaluation(name: str, found: EvaluatedBundle, images: TestImages) -> None:
    """Write metrics, predictions and confusion matrix of one strategy or ensemble to the stage's files."""
    folder = images.project.artifacts("evaluate")
    evaluation, probabilities, classes = found.evaluation, found.probabilities, found.classes
    for part in ("metrics", "figures", "per_class", "predictions", "confusion", "pictures"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    every = all_figures(class_indices(images.table["label"], classes), probabilities, classes, images.groups)
    write_file(folder / "metrics" / f"{name}.json", json.dumps(every.headline.as_json(), indent=1))
    write_file(folder / "figures" / f"{name}.json", json.dumps(every.flat(), indent=1))
    per_class = pd.DataFrame.from_dict(dict(every.per_class), orient="index").rename_axis("class")
    per_class.to_csv(folder / "per_class" / f"{name}.csv", float_format="%.6g", na_rep="nan")
    predicted = [classes[i] for i in probabilities.argmax(axis=1)]
    # Without paths: a renamed file would make them wrong, and re-runs nothing.
    predictions = images.table[["sha256", "label"]].assign(predicted=predicted)
    predictions = with_probabilities(predictions, classes, probabilities)
    predictions.to_csv(folder / "predictions" / f"{name}.csv", index=False, float_format="%.6g")
    # One row per image: what DVC's confusion templates count, and normalise, by themselves.
    pairs = pd.DataFrame({"actual": images.table["label"], "predicted": predicted})
    pairs.to_csv(folder / "confusion" / f"{name}.csv", index=False)
    confusion_picture(folder / "pictures" / f"{name}.png", evaluation.confusion, classes, f"{name}, test")
