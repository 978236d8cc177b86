"""The exact head: multinomial logistic regression on standardised features, solved to convergence.

The kernel B ``[D, C]`` and the bias b ``[C]`` minimise, over standardised features x_i of images with weights w_i,

    sum_i w_i * cross_entropy(softmax(x_i B + b), y_i) / sum_i w_i  +  penalty / 2 * |B|^2

That is convex, so there is one solution, whatever it is started from: no rate, number of epochs or seed decides it. The
penalty has the least cross-validated log loss, in folds that keep groups of images together.

It is solved on the features' principal axes, see :mod:`.principal_axes`. There the curvature of the loss is at most
half the mean square on each axis (D. Boehning, Multinomial logistic regression algorithm, Annals of the Institute of
Statistical Mathematics 44, 1992), which is what L-BFGS is scaled by: it then takes some dozens of steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from graft.core.quotas import cores
from graft.networks.grouped_folds import grouped_folds
from graft.networks.principal_axes import principal_axes

FOLDS = 5
# From one that leaves little but the frequencies of the classes to one that hardly counts. On 1,280 to 4,000 features
# of photographs, 0.001 to 1 were best.
PENALTIES = tuple(float(power) for power in 10.0 ** np.arange(1.0, -5.1, -0.5))
# Penalties in a row without a lower log loss, after which smaller ones are not tried.
PATIENCE = 2
# Relative change of the loss that ends a solution: while penalties are compared, and of what is returned.
WHILE_COMPARED, AT_LAST = 1e-6, {"float32": 1e-8, "float64": 1e-12}
# Features, or logits, up to which all is computed in float64. Above, float32 is twice as fast, and off by 1e-3 of a
# logit.
MOST_DOUBLES = 1_000_000
# Numbers of kernel and images multiplied with each other from which only every second penalty is tried, and in three
# folds: a thousand classes of ten images each, on 1,280 features, are then done in minutes.
LARGE = 500_000_000
# Logits at a time, so that a thousand classes take no more memory than ten.
LOGITS_AT_A_TIME = 1 << 24


class Score(NamedTuple):
    """Weighted means over images: log loss in nats, and accuracy, 0 to 1."""

    log_loss: float
    accuracy: float


@dataclass(frozen=True)
class PenaltyScore:
    """What was found for one penalty.

    Attributes:
        penalty: factor of half the squared length of the kernel.
        train: of the head that was fitted to all images, on these.
        out_of_fold: of each image by the head that was fitted without its fold: what chooses.
        val: of the head that was fitted to all images, on other images; None where none were given.
    """

    penalty: float
    train: Score
    out_of_fold: Score
    val: Score | None


@dataclass(frozen=True)
class ExactHead:
    """A linear head on raw features, and what cross-validation says of it.

    Attributes:
        kernel: float32 ``[D, C]``; the standardisation is folded in.
        bias: float32 ``[C]``.
        path: the penalties that were tried, the largest first.
        chosen: index in ``path`` of the one with the least log loss out of fold.
        folds: which one each image was left out with, int ``[N]``.
        out_of_fold: logits float32 ``[N, C]`` of each image by a head that was fitted without its fold.
    """

    kernel: np.ndarray
    bias: np.ndarray
    path: list[PenaltyScore]
    chosen: int
    folds: np.ndarray
    out_of_fold: np.ndarray

    @property
    def penalty(self) -> float:
        """The chosen one."""
        return self.path[self.chosen].penalty

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Return logits float32 ``[N, C]`` of features ``[N, D]``."""
        return np.asarray(features, np.float32) @ self.kernel + self.bias


def fit_exact_head(
    features: np.ndarray,
    labels: np.ndarray,
    classes: int,
    *,
    groups: np.ndarray | None = None,
    weights: np.ndarray | None = None,
    penalties: Sequence[float] = PENALTIES,
    folds: int = FOLDS,
    seed: int = 0,
    val: tuple[np.ndarray, np.ndarray] | None = None,
    tell: Callable[[PenaltyScore], None] = lambda score: None,
) -> ExactHead:
    """Fit a linear head to features, with the penalty that stratified, grouped cross-validation chooses.

    Mean and deviation of the features are those of all images in every fold. Labels play no part in them.

    Args:
        features: ``[N, D]``, finite.
        labels: class indices, int ``[N]``.
        classes: C.
        groups: of each image, any values ``[N]``; images of one group share a fold. None: each image is its own.
        weights: of each image in loss and scores, above 0. Weight 2 is the same as the image twice. None: 1.
        penalties: to try, in any order; one or more.
        folds: at most; fewer where there are fewer groups.
        seed: of the folds.
        val: features ``[M, D]`` and class indices ``[M]`` of other images. They choose nothing.
        tell: called with each score as it is found.

    Raises:
        ValueError: fewer than two groups, or shapes that do not fit.
    """
    from threadpoolctl import threadpool_limits

    labels = np.asarray(labels, np.int64)
    count = len(labels)
    if len(features) != count:
        raise ValueError(f"{len(features)} rows of features for {count} labels")
    largest = count * max(features.shape[1], classes)
    dtype = np.dtype(np.float64 if largest <= MOST_DOUBLES else np.float32)
    shares = np.ones(count) if weights is None else np.asarray(weights, np.float64)
    ordered = sorted(penalties, reverse=True)
    if min(features.shape) * count * classes > LARGE:
        ordered, folds = ordered[::2], min(folds, 3)
    fold_of = grouped_folds(labels, np.arange(count) if groups is None else groups, folds, seed)
    # In the order of the folds, all images but those of one are two slices, which are not copied.
    order = np.argsort(fold_of, kind="stable")
    bounds = np.searchsorted(fold_of[order], np.arange(fold_of.max() + 2)).tolist()
    held_out = list(pairwise(bounds))
    # A step is too short to be shared among the threads of BLAS, which wait for each other: under load, two of them
    # took 25 times as long as one. Each fold has a thread of its own instead.
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(cores()) as pool:
        axes = principal_axes(features, shares, dtype)
        rows = _Rows(axes.coordinates(features, order), labels[order], shares[order].astype(dtype))
        others = val and _Rows(axes.coordinates(val[0], np.arange(len(val[1]))), val[1], np.ones(len(val[1]), dtype))
        parts = [*(rows.without(start, end) for start, end in held_out), rows]

        def solved(heads: list[_Head], penalty: float, tolerance: float) -> list[_Head]:
            return list(
                pool.map(lambda part, head: _solve(part, head, penalty, axes.spectrum, tolerance), parts, heads)
            )

        def answers(heads: list[_Head]) -> np.ndarray:
            return np.concatenate(
                [
                    _held_out_logits(rows, part, head, *bounds)
                    for part, head, bounds in zip(parts, heads, held_out, strict=False)
                ]
            )

        heads = best = [_start(rows, classes)] * len(parts)
        path: list[PenaltyScore] = []
        chosen = 0
        for penalty in ordered:
            heads = solved(heads, penalty, WHILE_COMPARED)
            score = PenaltyScore(
                penalty,
                _score(heads[-1].logits(rows.coordinates), rows),
                _score(answers(heads), rows),
                _score(heads[-1].logits(others.coordinates), others) if others else None,
            )
            tell(score)
            path.append(score)
            if score.out_of_fold.log_loss <= path[chosen].out_of_fold.log_loss:
                chosen, best = len(path) - 1, heads
            elif len(path) - 1 - chosen >= PATIENCE:
                break
        best = solved(best, path[chosen].penalty, AT_LAST[dtype.name])
        out_of_fold = np.empty((count, classes), np.float32)
        out_of_fold[order] = answers(best)
        kernel, bias = axes.on_features(*best[-1])
    return ExactHead(kernel, bias, path, chosen, fold_of, out_of_fold)


class _Head(NamedTuple):
    """A kernel ``[R, C]`` on the axes, and a bias ``[C]``."""

    kernel: np.ndarray
    bias: np.ndarray

    def logits(self, coordinates: np.ndarray) -> np.ndarray:
        found: np.ndarray = coordinates @ self.kernel
        found += self.bias
        return found


@dataclass(frozen=True)
class _Rows:
    """Coordinates ``[N, R]``, class indices ``[N]`` and weights ``[N]`` of images, of which ``slices`` are meant."""

    coordinates: np.ndarray
    labels: np.ndarray
    weights: np.ndarray
    slices: tuple[slice, ...] = (slice(None),)

    def without(self, start: int, end: int) -> _Rows:
        """Return the images but those from ``start`` to ``end``."""
        slices = slice(0, start), slice(end, len(self.labels))
        return _Rows(self.coordinates, self.labels, self.weights, slices)

    def chunks(self, classes: int) -> list[slice]:
        """Return slices of at most :data:`LOGITS_AT_A_TIME` logits."""
        step = max(1, LOGITS_AT_A_TIME // classes)
        ranges = [part.indices(len(self.labels))[:2] for part in self.slices]
        return [slice(first, min(first + step, end)) for start, end in ranges for first in range(start, end, step)]

    def class_weights(self, classes: int) -> np.ndarray:
        """Return the sum of the weights of each class, float64 ``[C]``."""
        sums = [np.bincount(self.labels[part], self.weights[part], classes) for part in self.slices]
        return np.sum(sums, axis=0)


def _start(rows: _Rows, classes: int) -> _Head:
    """Return the head without a kernel, which answers with the frequencies of the classes."""
    sums = rows.class_weights(classes) + 0.5
    dtype = rows.coordinates.dtype
    return _Head(np.zeros((rows.coordinates.shape[1], classes), dtype), np.log(sums / sums.sum()).astype(dtype))


def _solve(rows: _Rows, start: _Head, penalty: float, spectrum: np.ndarray, tolerance: float) -> _Head:
    """Return the head of least loss; ``tolerance`` is the relative change of it that ends the search."""
    from scipy.optimize import minimize

    shape, dtype = start.kernel.shape, rows.coordinates.dtype
    parts = rows.chunks(shape[1])
    total = sum(float(rows.weights[part].sum(dtype=np.float64)) for part in parts)
    # In these units the curvature is at most about 1 in every direction.
    unit = (1 / np.sqrt(spectrum / 2 + penalty)).astype(dtype)[:, None]
    bias_unit = dtype.type(np.sqrt(2))
    split = shape[0] * shape[1]

    def head_at(point: np.ndarray) -> _Head:
        kernel = point[:split].reshape(shape).astype(dtype)
        return _Head(kernel * unit, point[split:].astype(dtype) * bias_unit)

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


def _held_out_logits(rows: _Rows, part: _Rows, head: _Head, start: int, end: int) -> np.ndarray:
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


def _score(logits: np.ndarray, rows: _Rows) -> Score:
    exact = logits.astype(np.float64)
    exact -= exact.max(axis=1, keepdims=True)
    losses = np.log(np.exp(exact).sum(axis=1)) - exact[np.arange(len(exact)), rows.labels]
    shares = rows.weights.astype(np.float64) / rows.weights.sum(dtype=np.float64)
    return Score(float(losses @ shares), float((logits.argmax(axis=1) == rows.labels) @ shares))
