"""Check whether an exported file predicts as the model does, on real photographs, and what it costs to run."""

import time
from dataclasses import dataclass

import numpy as np

from graft.core.errors import GraftError
from graft.networks.engines.openvino_run import Run

# Between probabilities of the same image: float32 sums in another order differ by 1e-6, a network with a wrong
# constant by far more.
TOLERANCE = 1e-4
# Photographs that float formats are compared on; 8-bit ones on all of validation, up to so many.
COMPARED = 200
MOST_COMPARED = 1000
WARM_UP, TIMED = 3, 30
BATCH = 32


@dataclass(frozen=True)
class ExportCheck:
    """The findings of the check of an export.

    Attributes:
        images: on how many photographs.
        largest_difference: between probabilities of the same photograph and class.
        same_label: share of photographs with the same best class, 0..1.
        accuracy, accuracy_of_model: share of right labels, of the exported file and of the model it was made from.
        milliseconds: for one photograph as pixels, the quickest of some: others waited for other programs.
    """

    images: int
    largest_difference: float
    same_label: float
    accuracy: float
    accuracy_of_model: float
    milliseconds: float

    @property
    def accuracy_lost(self) -> float:
        """Share of all photographs, negative where the exported file is right more often."""
        return self.accuracy_of_model - self.accuracy


def check(run: Run, pixels: np.ndarray, expected: np.ndarray, labels: np.ndarray) -> ExportCheck:
    """Compare an exported file with the model's own predictions.

    Args:
        pixels: uint8 ``[N, S, S, 3]``.
        expected: the model's probabilities ``[N, C]``.
        labels: class indices ``[N]``.
    """
    found = np.concatenate([run(pixels[start : start + BATCH]) for start in range(0, len(pixels), BATCH)])
    best = found.argmax(axis=1)
    return ExportCheck(
        images=len(pixels),
        largest_difference=float(np.abs(found - expected).max()),
        same_label=float(np.mean(best == expected.argmax(axis=1))),
        accuracy=float(np.mean(best == labels)),
        accuracy_of_model=float(np.mean(expected.argmax(axis=1) == labels)),
        milliseconds=_milliseconds(run, pixels[:1]),
    )


def require_agreement(name: str, checked: ExportCheck) -> None:
    """Raise GraftError where a format in float32 is off by more than :data:`TOLERANCE`."""
    if not checked.largest_difference <= TOLERANCE:  # nor is nan
        raise GraftError(
            f"The export as {name} does not answer as the model does: a probability is off by "
            f"{checked.largest_difference:.2g} on {checked.images} validation photographs (at most {TOLERANCE:g}), "
            f"and {1 - checked.same_label:.2%} have another label",
            "It is not written. Try another format, or another version of the library that made it",
        )


def require_accuracy(name: str, checked: ExportCheck, most_lost: float) -> None:
    """Raise GraftError where a format in 8 bits loses more accuracy than ``most_lost``, a share of 1."""
    if not checked.accuracy_lost <= most_lost:
        raise GraftError(
            f"The export as {name} loses {checked.accuracy_lost:.2%} of accuracy on {checked.images} validation "
            f"photographs: {checked.accuracy:.2%} instead of {checked.accuracy_of_model:.2%} (at most {most_lost:.2%})",
            "It is not written. Export without --int8, or allow more: --most-lost",
        )


def _milliseconds(run: Run, image: np.ndarray) -> float:
    for _ in range(WARM_UP):
        run(image)
    seconds = []
    for _ in range(TIMED):
        started = time.perf_counter()
        run(image)
        seconds.append(time.perf_counter() - started)
    return 1000 * min(seconds)
