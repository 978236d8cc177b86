"""Compare models on the same test images: each against the first, and the images that they disagree on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from graft.core.errors import GraftError
from graft.core.paired import difference, log_losses
from graft.evaluation.comparison import Comparison, compare
from graft.evaluation.headline import Figure
from graft.evaluation.intervals import CONFIDENCE, Interval, number_of_groups, quantile_for, share_interval
from graft.evaluation.metrics import Evaluation, evaluate
from graft.evaluation.prediction_table import class_indices, classes_of

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class ModelDifference:
    """How one model does against the reference, over the same images.

    Attributes:
        name: of the model.
        comparison: of right and wrong; the candidate is this model, the champion the reference.
        log_loss: its log loss less that of the reference, in nats; below 0 it is better.
        log_loss_interval: of that, at 95 %, from the standard error over groups and Student's t.
    """

    name: str
    comparison: Comparison
    log_loss: float
    log_loss_interval: Interval

    def as_json(self) -> dict[str, Any]:
        """Return the difference as plain values."""
        found = self.comparison
        return {
            "model": self.name,
            "accuracy_difference": found.difference,
            "low": found.low,
            "high": found.high,
            "only_this_right": found.only_candidate_right,
            "only_reference_right": found.only_champion_right,
            "mcnemar_p": found.mcnemar_p,
            "answer": found.answer,
            "log_loss_difference": self.log_loss,
            "log_loss_low": self.log_loss_interval.low,
            "log_loss_high": self.log_loss_interval.high,
        }


@dataclass(frozen=True)
class ModelComparison:
    """Models against the first of them.

    Attributes:
        reference: name of the first.
        figures: of each on these images: accuracy, with its 95 % interval, macro_f1 and log_loss.
        differences: of the others, in order.
        images, groups: numbers of what all were asked about.
        disagreements: a row for each image that not all predict alike: sha256, label, and a column with the prediction
            of each model, by its name.
    """

    reference: str
    figures: dict[str, dict[str, Figure]]
    differences: list[ModelDifference]
    images: int
    groups: int
    disagreements: pd.DataFrame

    def as_json(self) -> dict[str, Any]:
        """Return the comparison as plain values."""
        return {
            "reference": self.reference,
            "images": self.images,
            "groups": self.groups,
            "models": {
                name: {
                    key: {"value": one.value, **(vars(one.interval) if one.interval else {})}
                    for key, one in own.items()
                }
                for name, own in self.figures.items()
            },
            "against_reference": [one.as_json() for one in self.differences],
            "disagreements": self.disagreements.to_dict("records"),
        }


def compare_models(
    tables: Mapping[str, pd.DataFrame], groups: Mapping[str, str], confidence: float = CONFIDENCE
) -> ModelComparison:
    """Compare models by their predictions on the images that all of them were asked about.

    Args:
        tables: by name, of two models or more: columns sha256, label, predicted and ``p_<class>``, see
            :mod:`graft.evaluation.prediction_table`. The labels are those of the first.
        groups: by SHA-256, of the images that belong with others.
        confidence: of the one-sided end that the gate asks for, see :func:`graft.evaluation.comparison.compare`.

    Raises:
        GraftError: they have no image in common.
    """
    import pandas as pd

    together = _on_common_images(tables)
    reference, *others = together
    first = together[reference]
    labels = first["label"]
    names = np.array([groups.get(digest, digest) for digest in first["sha256"]])
    right = {name: (table["predicted"] == labels).to_numpy() for name, table in together.items()}
    evaluations = {name: _evaluated(table, labels) for name, table in together.items()}
    losses = {name: found[1] for name, found in evaluations.items()}
    figures = {
        name: {
            "accuracy": Figure(float(right[name].mean()), share_interval(right[name], names)),
            "macro_f1": Figure(found.macro_f1),
            "log_loss": Figure(found.log_loss),
        }
        for name, (found, _) in evaluations.items()
    }
    differences = []
    for name in others:
        found = difference(losses[name], losses[reference], names)
        units = number_of_groups(names)
        half = quantile_for(CONFIDENCE, units) * found.error
        differences.append(
            ModelDifference(
                name,
                compare(right[name], right[reference], confidence, names),
                -found.gain,
                Interval(-found.gain - half, -found.gain + half),
            )
        )
    predictions = pd.DataFrame({name: table["predicted"] for name, table in together.items()})
    differ = predictions.nunique(axis=1) > 1
    disagreements = pd.concat([first[["sha256", "label"]], predictions], axis=1)[differ].reset_index(drop=True)
    return ModelComparison(reference, figures, differences, len(first), number_of_groups(names), disagreements)


def _on_common_images(tables: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Return the rows of the images that all tables have, in the order of the first."""
    first = next(iter(tables.values()))
    if all(list(table["sha256"]) == list(first["sha256"]) for table in tables.values()):
        return {name: table.reset_index(drop=True) for name, table in tables.items()}
    common = set.intersection(*(set(table["sha256"]) for table in tables.values()))
    if not common:
        raise GraftError(
            f"{' and '.join(tables)} were evaluated on other test photographs: they have none in common",
            "Train and evaluate them on one split: graft run",
        )
    order = first.loc[first["sha256"].isin(common), "sha256"].drop_duplicates()
    return {
        name: table.drop_duplicates("sha256").set_index("sha256").loc[order].reset_index()
        for name, table in tables.items()
    }


def _evaluated(table: pd.DataFrame, labels: pd.Series) -> tuple[Evaluation, np.ndarray]:
    """Return the figures of a model and the log loss of each image, in nats; a class it does not know has chance 0."""
    classes = classes_of(table)
    stated = table[[f"p_{name}" for name in classes]].to_numpy(np.float64)
    unknown = sorted(set(labels) - set(classes))
    probabilities = np.column_stack([stated, np.zeros((len(table), len(unknown)))])
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    indices = class_indices(labels, [*classes, *unknown])
    return evaluate(indices, probabilities, [*classes, *unknown]), log_losses(probabilities, indices)
