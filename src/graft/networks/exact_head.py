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

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from graft.core.quotas import cores
from graft.networks.grouped_folds import grouped_folds
from graft.networks.logistic_solver import LinearHead, Rows, frequencies_alone, held_out_logits, solve
from graft.networks.principal_axes import PrincipalAxes, principal_axes

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


class Score(NamedTuple):
    """Weighted means over images: log loss in nats, and accuracy, 0 to 1."""

    log_loss: float
    accuracy: float


@dataclass(frozen=True)
class PenaltyScore:
    """The scores of one penalty.

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
        """The chosen penalty."""
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
    on_score: Callable[[PenaltyScore], None] = lambda score: None,
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
        on_score: called with each score as it is found.

    Raises:
        ValueError: fewer than two groups, or shapes that do not fit.
    """
    shares = np.ones(len(labels)) if weights is None else np.asarray(weights, np.float64)
    with _problem(features, labels, classes, groups, shares, penalties, folds, seed) as problem:
        rows = problem.rows
        others = val and problem.rows_of(*val)
        heads = best = [frequencies_alone(rows, classes)] * (len(problem.held_out) + 1)
        path: list[PenaltyScore] = []
        chosen = 0
        for penalty in problem.penalties:
            heads = problem.solved(heads, penalty, WHILE_COMPARED)
            score = PenaltyScore(
                penalty,
                _score(heads[-1].logits(rows.coordinates), rows),
                _score(problem.logits_of(heads), rows),
                _score(heads[-1].logits(others.coordinates), others) if others else None,
            )
            on_score(score)
            path.append(score)
            if score.out_of_fold.log_loss <= path[chosen].out_of_fold.log_loss:
                chosen, best = len(path) - 1, heads
            elif len(path) - 1 - chosen >= PATIENCE:
                break
        best = problem.solved(best, path[chosen].penalty, AT_LAST[rows.coordinates.dtype.name])
        kernel, bias = problem.axes.on_features(*best[-1])
        return ExactHead(kernel, bias, path, chosen, problem.fold_of, problem.in_order(problem.logits_of(best)))


class CrossValidated(NamedTuple):
    """Heads that were each fitted without a fold.

    Attributes:
        logits: of each image by the head that was fitted without its fold, float32 ``[N, C]``.
        penalty: the best.
        folds: which one each image was left out with, int ``[N]``.
    """

    logits: np.ndarray
    penalty: float
    folds: np.ndarray


def cross_validate(
    features: np.ndarray,
    labels: np.ndarray,
    classes: int,
    *,
    groups: np.ndarray | None = None,
    weights: np.ndarray | None = None,
    folds: int = FOLDS,
    seed: int = 0,
) -> CrossValidated:
    """Return what heads answer for images that they were not fitted to, with the best penalty.

    As :func:`fit_exact_head`, to the tolerance by which penalties are compared and without the head of all images:
    half of the arithmetic, which is what measuring a candidate takes.
    """
    shares = np.ones(len(labels)) if weights is None else np.asarray(weights, np.float64)
    with _problem(features, labels, classes, groups, shares, PENALTIES, folds, seed) as problem:
        heads = [frequencies_alone(problem.rows, classes)] * len(problem.held_out)
        best, least, since, logits = 0.0, np.inf, 0, np.empty((0, classes))
        for penalty in problem.penalties:
            heads = problem.solved(heads, penalty, WHILE_COMPARED)
            found = problem.logits_of(heads)
            loss = _score(found, problem.rows).log_loss
            since += 1
            if loss <= least:
                best, least, since, logits = penalty, loss, 0, found
            elif since >= PATIENCE:
                break
        return CrossValidated(problem.in_order(logits), best, problem.fold_of)


@contextmanager
def _problem(
    features: np.ndarray,
    labels: np.ndarray,
    classes: int,
    groups: np.ndarray | None,
    shares: np.ndarray,
    penalties: Sequence[float],
    folds: int,
    seed: int,
) -> Iterator[_Problem]:
    from threadpoolctl import threadpool_limits

    labels = np.asarray(labels, np.int64)
    count = len(labels)
    if len(features) != count:
        raise ValueError(f"{len(features)} rows of features for {count} labels")
    largest = count * max(features.shape[1], classes)
    dtype = np.dtype(np.float64 if largest <= MOST_DOUBLES else np.float32)
    ordered = sorted(penalties, reverse=True)
    if min(features.shape) * count * classes > LARGE:
        ordered, folds = ordered[::2], min(folds, 3)
    fold_of = grouped_folds(labels, np.arange(count) if groups is None else groups, folds, seed)
    # In the order of the folds, all images but those of one are two slices, which are not copied.
    order = np.argsort(fold_of, kind="stable")
    bounds = np.searchsorted(fold_of[order], np.arange(fold_of.max() + 2)).tolist()
    # A step is too short to be shared among the threads of BLAS, which wait for each other: under load, two of them
    # took 25 times as long as one. Each fold has a thread of its own instead.
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(cores()) as pool:
        axes = principal_axes(features, shares, dtype)
        rows = Rows(axes.coordinates(features, order), labels[order], shares[order].astype(dtype))
        yield _Problem(rows, list(pairwise(bounds)), order, fold_of, axes, ordered, pool)


@dataclass(frozen=True)
class _Problem:
    """Images in the order of their folds, ``held_out`` being the bounds of each, and what solves heads on them."""

    rows: Rows
    held_out: list[tuple[int, int]]
    order: np.ndarray
    fold_of: np.ndarray
    axes: PrincipalAxes
    penalties: list[float]
    pool: ThreadPoolExecutor

    def rows_of(self, features: np.ndarray, labels: np.ndarray) -> Rows:
        """Return other images on the same axes."""
        ones = np.ones(len(labels), self.rows.coordinates.dtype)
        return Rows(self.axes.coordinates(features, np.arange(len(labels))), labels, ones)

    def solved(self, heads: list[LinearHead], penalty: float, tolerance: float) -> list[LinearHead]:
        """Return a head without each fold, and after those one of all images where ``heads`` has one to start from."""
        parts = [*(self.rows.without(*bounds) for bounds in self.held_out), self.rows][: len(heads)]
        spectrum = self.axes.spectrum
        return list(self.pool.map(lambda part, head: solve(part, head, penalty, spectrum, tolerance), parts, heads))

    def logits_of(self, heads: list[LinearHead]) -> np.ndarray:
        """Return logits ``[N, C]`` of the images, in the order of the folds, by the heads that lack them."""
        return np.concatenate(
            [
                held_out_logits(self.rows, self.rows.without(*bounds), head, *bounds)
                for head, bounds in zip(heads, self.held_out, strict=False)
            ]
        )

    def in_order(self, found: np.ndarray) -> np.ndarray:
        """Return logits, float32, in the order that the images were given in."""
        logits = np.empty(found.shape, np.float32)
        logits[self.order] = found
        return logits


def _score(logits: np.ndarray, rows: Rows) -> Score:
    exact = logits.astype(np.float64)
    exact -= exact.max(axis=1, keepdims=True)
    losses = np.log(np.exp(exact).sum(axis=1)) - exact[np.arange(len(exact)), rows.labels]
    shares = rows.weights.astype(np.float64) / rows.weights.sum(dtype=np.float64)
    return Score(float(losses @ shares), float((logits.argmax(axis=1) == rows.labels) @ shares))
