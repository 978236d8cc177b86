"""Make one ensemble from strategies that are trained: from their folders to a folder like theirs."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from graft.bundle.decisions import Known, enough
from graft.bundle.record import read_settings
from graft.core.errors import GraftError
from graft.core.files import write_file
from graft.core.model_folders import read_figures
from graft.core.params.ensemble_params import EnsembleOf
from graft.core.project import Project
from graft.core.timing import StageClock
from graft.evaluation.metrics import Evaluation, evaluate
from graft.evaluation.prediction_table import class_indices, read_prediction_table, with_probabilities
from graft.training.ensembles.ensemble_bundle import write_ensemble_bundle
from graft.training.ensembles.member_weights import equal_weights, fit_weights, mix, out_of_fold

WEIGHTS_FILE = "weights.json"
_AGAIN = "Train the members again on the same split: dvc repro"


@dataclass(frozen=True)
class Ensemble:
    """The result of :func:`make_ensemble`, for whoever records it.

    Attributes:
        name: as in params.
        classes: labels in the order of the probabilities.
        weights: of each member, by name, summing to 1; those with 0 are not in the bundle.
        validation: figures on validation; where weights are fitted, each image's from weights fitted without it.
        members: the members' own figures on validation.
        folder: its outputs.
    """

    name: str
    classes: list[str]
    weights: dict[str, float]
    validation: Evaluation
    members: dict[str, Evaluation]
    folder: Path

    def summary(self) -> str:
        """Return weights and validation log losses in one line."""
        weights = ", ".join(f"{member} {weight:.3f}" for member, weight in self.weights.items())
        alone = ", ".join(f"{member} {figures.log_loss:.4f}" for member, figures in self.members.items())
        return f"{self.name}: weights {weights}; validation log loss {self.validation.log_loss:.4f} (alone: {alone})"


def make_ensemble(project: Project, params: EnsembleOf, name: str, clock: StageClock) -> Ensemble:
    """Fit the weights and write the ensemble's folder: bundle, weights, validation figures and predictions.

    Raises:
        GraftError: a member is not trained, or the members were trained on different splits or classes.
    """
    with clock.span("weights"):
        tables = {member: _read_predictions(project, member) for member in params.of}
        classes = _common_classes(project, params.of)
        table = _common_images(tables)
        labels = class_indices(table["label"], classes)
        columns = [f"p_{label}" for label in classes]
        probabilities = np.stack([tables[member][columns].to_numpy(np.float64) for member in params.of])
        if params.weights == "fitted":
            weights = fit_weights(labels, probabilities)
            mixture = out_of_fold(labels, probabilities, table["sha256"].to_numpy(str))
        else:
            weights = equal_weights(len(params.of))
            mixture = mix(weights, probabilities)
        validation = evaluate(labels, mixture, classes)
        alone = {member: evaluate(labels, own, classes) for member, own in zip(params.of, probabilities, strict=True)}
    ensemble = Ensemble(
        name=name,
        classes=classes,
        weights=dict(zip(params.of, weights.tolist(), strict=True)),
        validation=validation,
        members=alone,
        folder=project.ensemble(name),
    )
    with clock.span("export"):
        _write(project, ensemble, table, mixture)
    return ensemble


def _read_predictions(project: Project, member: str) -> pd.DataFrame:
    """Return a member's validation predictions: text columns sha256 and label, a float column ``p_<class>`` a class."""
    path = project.strategy(member) / "val_predictions.csv"
    if not path.is_file():
        raise GraftError(f"Strategy '{member}' is not trained: there is no {path}", "Train it: dvc repro train")
    return read_prediction_table(path)


def _common_classes(project: Project, members: list[str]) -> list[str]:
    classes = {}
    for member in members:
        classes[member] = list(read_settings(project.strategy(member) / "model")["classes"])
    first = members[0]
    for member in members[1:]:
        if classes[member] != classes[first]:
            raise GraftError(
                f"Strategy '{member}' has the classes {', '.join(classes[member])}, and '{first}' "
                f"{', '.join(classes[first])}",
                _AGAIN,
            )
    return classes[first]


def _common_images(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the columns sha256 and label, in the order in which all members have them."""
    (first, table), *others = [(member, own[["sha256", "label"]]) for member, own in tables.items()]
    for member, own in others:
        if not own.equals(table):
            raise GraftError(
                f"Strategies '{first}' and '{member}' were validated on different images: {len(table)} and "
                f"{len(own)}, {len(set(table['sha256']) & set(own['sha256']))} of them the same",
                _AGAIN,
            )
    return table


def _write(project: Project, ensemble: Ensemble, table: pd.DataFrame, mixture: np.ndarray) -> None:
    folder = ensemble.folder
    folder.mkdir(parents=True, exist_ok=True)
    bundles = {
        member: (weight, project.strategy(member) / "model")
        for member, weight in ensemble.weights.items()
        if weight > 0
    }
    labels = class_indices(table["label"], ensemble.classes)
    some = enough(len(table))
    far = _distances(list(bundles.values()), len(some))
    write_ensemble_bundle(bundles, folder / "model", Known(labels[some], mixture[some], far))
    write_file(folder / WEIGHTS_FILE, json.dumps(ensemble.weights, indent=1))
    of_member = read_figures(project.strategy(next(iter(ensemble.weights))))
    folds = {"folds": of_member["folds"]} if "folds" in of_member else {}
    write_file(folder / "metrics.json", json.dumps({"val": ensemble.validation.headline(), **folds}, indent=1))
    predictions = with_probabilities(table, ensemble.classes, mixture)
    predictions.to_csv(folder / "val_predictions.csv", index=False, float_format="%.6g")


def _distances(members: Sequence[tuple[float, Path]], count: int) -> np.ndarray:
    """Return the weighted mean of the members' distances of the validated images, ``[count]``; nan where one has none.

    A member without features has no part in it, as when the ensemble is asked.
    """
    far, total = np.zeros(count), 0.0
    for weight, bundle in members:
        known = Known.read(bundle)
        if known is not None and np.isfinite(known.distances).any():
            far, total = far + weight * known.distances, total + weight
    return far / total if total else np.full(count, np.nan)
