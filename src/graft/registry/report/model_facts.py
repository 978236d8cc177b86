"""Collect what a report says of one model: its figures and predictions on test, and how the others compare."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from graft.analysis.choose.chosen_values import read_chosen
from graft.analysis.labels.label_errors import Suspect, find_suspects
from graft.analysis.probe import OutOfFold
from graft.bundle.decisions import DECIDE
from graft.bundle.record import SETTINGS_FILE, read_settings, sha256
from graft.core.errors import GraftError, did_you_mean
from graft.core.files import read_object
from graft.core.model_folders import model_folders, read_figures
from graft.core.params import Params
from graft.core.project import Project
from graft.core.text_tables import read_text_table
from graft.data.splits.image_groups import read_groups
from graft.evaluation.compare_models import ModelComparison
from graft.evaluation.headline import Headline
from graft.evaluation.image_slices import Slice
from graft.evaluation.mistakes import Mistakes, find_mistakes
from graft.evaluation.prediction_table import classes_of, probabilities_of, read_prediction_table
from graft.registry.register import registered_record
from graft.registry.runs.named_predictions import compare_named, evaluated_names
from graft.registry.runs.sliced_predictions import sliced

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class ModelFacts:
    """The facts of one model.

    Attributes:
        name: of the strategy or ensemble.
        kind: what it is, such as frozen, or ensemble.
        settings: that it was trained with, and members of an ensemble.
        registered: the record of stage register where it registered this model, else empty.
        headlines: test figures of all that are evaluated, by name; ``validation``: theirs on validation.
        figures: all test figures of this one, with ``_low`` and ``_high``.
        per_class: a row per class: class, precision, recall, recall_low, recall_high, support and others.
        comparison: of the others with this one; None where there is no other.
        images: SHA-256, label and predicted class of the test images; ``labels``, ``probabilities``: class indices
            ``[N]`` and float64 ``[N, C]`` in the order of ``classes``; ``groups``: of each, str ``[N]``.
        mistakes: what it gets wrong; ``suspects``: test images whose label is likely wrong.
        slices: where it is worse, the worst first.
        decided: what is decided of the registered model's answers, see :mod:`graft.bundle.decisions`; empty for none.
        robustness: accuracy on changed images, as `graft robustness` left it for this very model; None without.
    """

    name: str
    kind: str
    settings: Mapping[str, Any]
    registered: dict[str, Any]
    headlines: dict[str, Headline]
    validation: dict[str, dict[str, float]]
    figures: dict[str, float]
    per_class: pd.DataFrame
    comparison: ModelComparison | None
    images: pd.DataFrame
    classes: list[str]
    labels: np.ndarray
    probabilities: np.ndarray
    groups: np.ndarray
    mistakes: Mistakes
    suspects: list[Suspect]
    slices: list[Slice]
    decided: Mapping[str, Any]
    robustness: dict[str, Any] | None


def model_facts(project: Project, params: Params, name: str | None = None) -> ModelFacts:
    """Return the facts of an evaluated strategy or ensemble; by default of what is registered, else the first.

    Raises:
        GraftError: it is not evaluated.
    """
    names = evaluated_names(project, params)
    if not names:
        raise GraftError("There is nothing to report: no model is evaluated", "Run the pipeline with `graft run`")
    registered = registered_record(project)
    name = name or (registered.get("strategy") if registered.get("strategy") in names else None) or names[0]
    if name not in names:
        raise GraftError(f"'{name}' is no evaluated strategy or ensemble", did_you_mean(name, names))
    folder, folders = project.artifacts("evaluate"), model_folders(project, params)
    per_class = read_text_table(
        folder / "per_class" / f"{name}.csv", "a table of classes", "Make it with `dvc repro evaluate`", text=("class",)
    )
    images = read_prediction_table(folder / "predictions" / f"{name}.csv")
    classes = classes_of(images)
    labels, probabilities = probabilities_of(images)
    others = [one for one in names if one != name]
    kind, settings = _made_of(project, params, name)
    is_registered, answering = registered.get("strategy") == name, project.artifacts("register") / "model"
    return ModelFacts(
        name=name,
        kind=kind,
        settings=settings,
        registered=registered if is_registered else {},
        headlines={one: Headline.read(project, one) for one in names},
        validation={one: read_figures(folders[one])["val"] for one in names},
        figures=json.loads((folder / "figures" / f"{name}.json").read_text(encoding="utf-8")),
        per_class=per_class,
        comparison=compare_named(project, params, [name, *others]) if others else None,
        images=images[["sha256", "label", "predicted"]],
        classes=classes,
        labels=labels,
        probabilities=probabilities,
        groups=read_groups(project.test_groups, list(images["sha256"])),
        mistakes=find_mistakes(labels, probabilities),
        suspects=_suspects(images["label"].to_numpy(), classes, probabilities),
        slices=sliced(project, params, name)[0],
        decided=read_settings(answering).get(DECIDE, {}) if is_registered and answering.is_dir() else {},
        robustness=_robustness(project, folders[name] / "model"),
    )


def robustness_file(project: Project, digest: str) -> Path:
    """Return the path of what `graft robustness` found of a model; ``digest`` is the SHA-256 of its model.json."""
    return project.artifacts("report") / f"robustness-{digest[:12]}.json"


def _robustness(project: Project, bundle: Path) -> dict[str, Any] | None:
    if not (bundle / SETTINGS_FILE).is_file():
        return None
    return read_object(robustness_file(project, sha256(bundle / SETTINGS_FILE))) or None


def _made_of(project: Project, params: Params, name: str) -> tuple[str, dict[str, Any]]:
    """Return the kind of a model and its settings, as they were chosen."""
    if name in params.train.strategies:
        strategy = params.train.strategies[name]
        settings = {**strategy.model_dump(mode="json"), **read_chosen(project.artifacts("choose"), name)}
        return str(settings.pop("kind", name)), {key: settings[key] for key in settings if key != "auto"}
    return "ensemble", read_object(project.ensemble(name) / "weights.json")


def _suspects(labels: np.ndarray, classes: list[str], probabilities: np.ndarray) -> list[Suspect]:
    """Return test images whose label the model contradicts; it has seen none of them."""
    order = np.argsort(classes)
    judged = OutOfFold(np.arange(len(labels)), [classes[i] for i in order], probabilities[:, order], 0, [])
    return find_suspects(labels, judged)
