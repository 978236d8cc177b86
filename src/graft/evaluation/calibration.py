"""Calibrate logits by one temperature (:mod:`graft.networks.temperature`), judged on images left out of its fit."""

from dataclasses import dataclass

import numpy as np

from graft.evaluation.folds import held_out_folds
from graft.evaluation.metrics import log_loss_of
from graft.networks.temperature import fit_temperature, softmax


@dataclass(frozen=True)
class Calibration:
    """The result of calibrating.

    Attributes:
        temperature: what logits are divided by; 1 where a fitted one did not help.
        probabilities: of the images it was fitted on, float64 ``[N, C]``, each with a temperature fitted without it:
            figures of these flatter nobody.
    """

    temperature: float
    probabilities: np.ndarray


def calibrate(labels: np.ndarray, logits: np.ndarray, images: np.ndarray) -> Calibration:
    """Fit the temperature; keep 1 where the fitted one does not lower the log loss of images left out of the fit.

    Args:
        labels: class indices ``[N]`` of validation images.
        logits: ``[N, C]``.
        images: what each image is, or which group it is of, ``[N]``, see
            :func:`graft.evaluation.folds.held_out_folds`.
    """
    raw = softmax(logits)
    held_out = out_of_fold(labels, logits, images)
    if log_loss_of(labels, held_out) >= log_loss_of(labels, raw):
        return Calibration(1.0, raw)
    return Calibration(fit_temperature(labels, logits, images), held_out)


def out_of_fold(labels: np.ndarray, logits: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Return the probabilities float64 ``[N, C]``, each image's with a temperature that was fitted without it.

    Args:
        labels, logits, images: as :func:`calibrate` takes them.
    """
    scaled = np.array(logits, np.float64)
    for held_out in held_out_folds(images):
        others = ~held_out
        if others.any():
            scaled[held_out] /= fit_temperature(labels[others], logits[others], images[others])
    return softmax(scaled)
