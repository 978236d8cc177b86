"""Open and try out a model that answers requests."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from graft.bundle.decisions import answered, label_names
from graft.bundle.model import ImageClassifier
from graft.bundle.record import read_settings
from graft.core.errors import GraftError
from graft.networks.engines.open_classifier import open_classifier
from graft.registry.resolve import ResolvedModel

# One photograph at each size the model wants: by S, uint8 ``[S, S, 3]``, RGB.
Pixels = Mapping[int, np.ndarray]


class Answer(NamedTuple):
    """The answer of a model for one image.

    Attributes:
        label: one of the classes, or ``unknown``.
        probability: of the label; of ``unknown``, that of the best class.
        probabilities: of all classes, float32 ``[C]``.
    """

    label: str
    probability: float
    probabilities: np.ndarray


@dataclass(frozen=True, eq=False)
class ServedModel:
    """A model that answers; equal to itself alone.

    Attributes:
        classifier: from pixels to probabilities; one thread at a time.
        source: where it is from.
        settings: its model.json.
        loaded: when, in seconds since the epoch.
    """

    classifier: ImageClassifier
    source: ResolvedModel
    settings: Mapping[str, Any] = field(default_factory=dict)
    loaded: float = field(default_factory=time.time)


def open_model(source: ResolvedModel, max_batch: int, wanted: Mapping[str, Any] | None = None) -> ServedModel:
    """Open a model and run it on blank images, so that the first request is as fast as the others.

    Args:
        wanted: what to decide, for a model in which nothing was decided.

    Raises:
        GraftError: its answers are no probabilities.
        Exception: it cannot be opened; of whatever kind the engine raises.
    """
    model = ServedModel(open_classifier(source.bundle, wanted=wanted), source, read_settings(source.bundle))
    blank = {size: np.zeros((size, size, 3), np.uint8) for size in model.classifier.image_sizes}
    for count in (1, max_batch):
        rows = np.stack([one.probabilities for one in run_batch(model, [blank] * count)])
        if (
            rows.shape != (count, len(model.classifier.classes))
            or not np.isfinite(rows).all()
            or not np.allclose(rows.sum(axis=1), 1, atol=1e-3)
        ):
            raise GraftError(
                f"{source} answers with an array of shape {rows.shape} that holds no probabilities",
                f"It has {len(model.classifier.classes)} classes, and each row should add up to 1: train it again",
            )
    return model


def run_batch(model: ServedModel, images: Sequence[Pixels]) -> list[Answer]:
    """Return the answers for decoded images."""
    classifier = model.classifier
    pixels = {size: np.stack([one[size] for one in images]) for size in classifier.image_sizes}
    probabilities, indices = classifier.answers(pixels)
    labels = label_names(classifier.classes, indices)
    of_label = answered(probabilities, indices).tolist()
    return [Answer(*one) for one in zip(labels, of_label, probabilities, strict=True)]
