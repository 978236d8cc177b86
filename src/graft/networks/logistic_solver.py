"""Solve one multinomial logistic regression by L-BFGS, on principal axes, see :mod:`.exact_head`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

# Logits at a time, so that a thousand classes take no more memory than ten.
LOGITS_AT_A_TIME = 1 << 24


class LinearHead(NamedTuple):
    """A kernel ``[R, C]`` on the axes, and a bias ``[C]``."""

    kernel: np.ndarray
    bias: np.ndarray

    def logits(self, coordinates: np.ndarray) -> np.ndarray:
        found: np.ndarray = coordinates @ self.kernel
        found += self.bias
        return found


@dataclass(frozen=True)
class Rows:
    """Coordinates ``[N, R]``, class indices ``[N]`` and weights ``[N]`` of images, of which ``slices`` are meant."""

    coordinates: np.ndarray
    labels: np.ndarray
    weights: np.ndarray
    slices: tuple[slice, ...] = (slice(None),)

    def without(self, start: int, end: int) -> Rows:
        """Return the images but those from ``start`` to ``end``."""
        slices = slice(0, start), slice(end, len(self.labels))
        return Rows(self.coordinates, self.labels, self.weights, slices)

    def chunks(self, classes: int) -> list[slice]:
        """Return slices of at most :data:`LOGITS_AT_A_TIME` logits."""
        step = max(1, LOGITS_AT_A_TIME // classes)
        ranges = [part.indices(len(self.labels))[:2] for part in self.slices]
        return [slice(first, min(first + step, end)) for start, end in ranges for first in range(start, end, step)]

    def class_weights(self, classes: int) -> np.ndarray:
        """Return the sum of the weights of each class, float64 ``[C]``."""
        sums = [np.bincount(self.labels[part], self.weights[part], classes) for part in self.slices]
        return np.sum(sums, axis=0)


def frequencies_alone(rows: Rows, classes: int) -> LinearHead:
    """Return the head without a kernel, which answers with the frequencies of the classes."""
    sums = rows.class_weights(classes) + 0.5
    dtype = rows.coordinates.dtype
    return LinearHead(np.zeros((rows.coordinates.shape[1], classes), dtype), np.log(sums / sums.sum()).astype(dtype))


def solve(rows: Rows, start: LinearHead, penalty: float, spectrum: np.ndarray, tolerance: float) -> LinearHead:
    """Return the head of least loss; ``tolerance`` is the relative change of it that ends the search."""
    from scipy.optimize import minimize

    shape, dtype = start.kernel.shape, rows.coordinates.dtype
    parts = rows.chunks(shape[1])
    total = sum(float(rows.weights[part].sum(dtype=np.float64)) for part in parts)
    # In these units the curvature is at most about 1 in every direction.
    unit = (1 / np.sqrt(spectrum / 2 + penalty)).astype(dtype)[:, None]
    bias_unit = dtype.type(np.sqrt(2))
    split = shape[0] * shape[1]

    def head_at(point: np.ndarray) -> LinearHead:
        kernel = point[:split].reshape(shape).astype(dtype)
        return LinearHead(kernel * unit, point[split:].astype(dtype) * bias_unit)

    def loss_and_gradient(point: np.ndarray) -> tuple[float, np.ndarray]:
        head = head_at(point)
        loss = penalty / 2 * float(np.square(head.kernel, dtype=np.float64).sum())
        of_kernel, of_bias = dtype.type(penalty) * head.kernel, np.zeros_like(head.bias)
        for part in parts:
            inputs, weights = rows.coordinates[part], rows.weights[part]
            labelled = np.arange(len(inputs)), rows.labels[part]
            values = head.logits(inputs)
            values -= values.max(axis=1, keepdims=True)
            right = values[labelled]
            np.exp(values, out=values)
            sums = values.sum(axis=1)
            loss += float(weights.astype(np.float64) @ (np.log(sums) - right)) / total
            # From here on, the derivatives by the logits.
            values *= (weights / sums)[:, None]
            values[labelled] -= weights
            values /= dtype.type(total)
            of_kernel += inputs.T @ values
            of_bias += values.sum(axis=0)
        gradient = np.concatenate([(of_kernel * unit).ravel(), of_bias * bias_unit])
        return loss, gradient.astype(np.float64)

    point = np.concatenate([(start.kernel / unit).ravel(), start.bias / bias_unit]).astype(np.float64)
    options = {"maxiter": 1000, "maxfun": 1500, "ftol": tolerance, "gtol": 0.1 * tolerance**0.5}
    return head_at(minimize(loss_and_gradient, point, jac=True, method="L-BFGS-B", options=options).x)


def held_out_logits(rows: Rows, part: Rows, head: LinearHead, start: int, end: int) -> np.ndarray:
    """Return the logits ``[end - start, C]`` of the images that ``part`` lacks.

    A class that none of its images has gets 1 / (n + 2), the probability by Laplace's rule of succession that one more
    image is the first after n others. Its own bias would fall for as long as the solver goes on.
    """
    logits = head.logits(rows.coordinates[start:end])
    is_absent = part.class_weights(logits.shape[1]) == 0
    if is_absent.any():
        others = logits[:, ~is_absent]
        largest = others.max(axis=1, keepdims=True)
        total = largest + np.log(np.exp(others - largest).sum(axis=1, keepdims=True))
        logits[:, is_absent] = total - np.log(len(rows.labels) - (end - start) + 1)
    return logits
