"""What a line of models that one recipe made, one after the other, is expected to be right on: on new images.

Of many models that were judged on the same test images, the best is best by luck too: its figure flatters (S. Senn, A
note concerning a selection paradox of Dawid's, The American Statistician 62, 2008). So a figure is drawn towards the
trend of its line, the further the less the test images can tell (empirical Bayes: B. Efron, Tweedie's formula and
selection bias, JASA 106, 2011). Selection then needs no correction: what is expected given all figures stays what it is
whichever of them is looked at.

True accuracies are a level, a slope and a slow random walk along the line, and beside that an independent spread, which
is what seeds and samples do. All are normal, so the answer is a regression (C. Rasmussen and C. Williams, Gaussian
Processes for Machine Learning, 2006, chapter 2). The spread is not known: it is averaged over, as likely as the line's
own figures make it.
"""

from dataclasses import dataclass

import numpy as np

# Standard deviations of the true accuracy of models of one recipe about their trend, in parts of 1, and how likely each
# is before any figure is seen. Measured: 0.015 and 0.020 (frozen heads, whole hands and single images held out).
SPREADS = np.array([0.005, 0.01, 0.015, 0.02, 0.03])
SPREAD_WEIGHTS = np.array([0.05, 0.25, 0.35, 0.25, 0.1])
# Also before any figure: level, slope from one model to the next, and steps of the walk, as standard deviations. A year
# of weekly deliveries raised accuracy by 12 points, half of that in its first quarter.
_LEVEL, _SLOPE, _STEP = 0.3, 0.005, 0.002
# And of the level of each recipe about the others'.
_RECIPE = 0.1


@dataclass(frozen=True)
class Shrunk:
    """True accuracies given all figures: a mixture over the spreads.

    Attributes:
        weights: of each spread, ``[S, Y]``.
        means: for each spread, ``[S, Y, K]``.
        covariances: for each spread, ``[S, K, K]``.
    """

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray

    def expected(self) -> np.ndarray:
        """Return the expected accuracies ``[Y, K]``."""
        return np.asarray(np.einsum("sy,syk->yk", self.weights, self.means))

    def risk(self, one: np.ndarray, other: np.ndarray, loss: float) -> np.ndarray:
        """Return how likely model ``one`` is worse than model ``other`` by more than ``loss``, ``[Y]``.

        Args:
            one, other: places in each line, int ``[Y]``.
        """
        from scipy.special import ndtr

        lines = np.arange(len(one))
        gains = self.means[:, lines, one] - self.means[:, lines, other]
        of = self.covariances
        variances = of[:, one, one] + of[:, other, other] - 2 * of[:, one, other]
        # Models that are known to be equal differ by rounding alone.
        return np.asarray((self.weights * ndtr((-loss - gains) / np.sqrt(np.maximum(variances, 1e-12)))).sum(axis=0))


def shrink(
    figures: np.ndarray, noise: np.ndarray, places: np.ndarray | None = None, recipes: np.ndarray | None = None
) -> Shrunk:
    """Return what the models of each line are expected to be right on.

    Args:
        figures: measured accuracies ``[Y, K]`` of Y lines of K models, in the order in which they were made.
        noise: covariance of the errors of measurement, ``[K, K]``, the same in every line.
        places: of the models along the line, ``[K]``, rising; by default 0, 1, 2, ...
        recipes: what each model was made by, any values ``[K]``: each recipe has a level of its own. By default one.
    """
    count = figures.shape[1]
    along = np.arange(count) if places is None else np.asarray(places, np.float64)
    back = along - along[-1]
    trend = _LEVEL**2 + _SLOPE**2 * np.outer(back, back) + _STEP**2 * np.minimum.outer(along, along)
    if recipes is not None:
        trend += _RECIPE**2 * (recipes[:, None] == recipes)
    middle = figures.mean(axis=1, keepdims=True)
    deviations = figures - middle
    likelihoods, means, covariances = [], [], []
    for spread in SPREADS:
        prior = trend + spread**2 * np.eye(count)
        total = prior + noise
        pull = np.linalg.solve(total, prior).T
        weighed = np.linalg.solve(total, deviations.T).T
        likelihoods.append(-0.5 * (deviations * weighed).sum(axis=1) - 0.5 * np.linalg.slogdet(total)[1])
        means.append(middle + deviations @ pull.T)
        covariances.append(prior - pull @ prior)
    weights = np.exp(np.array(likelihoods) - np.max(likelihoods, axis=0)) * SPREAD_WEIGHTS[:, None]
    return Shrunk(weights / weights.sum(axis=0), np.array(means), np.array(covariances))


# What a loss of more than `gate.max_loss` counts, as a multiple of it, against what a change is expected to gain.
# Chosen in benchmarks/gate_policies.py: the least that keeps such losses to one in two years.
LOSS_COUNTS = 5.0


def is_worth_it(gain: np.ndarray, risk: np.ndarray, loss: float, confidence: float) -> np.ndarray:
    """Return where a change is sure enough to lose no more than ``loss``, or gains more than its risk counts.

    Args:
        gain: expected, in parts of 1.
        risk: that it loses more than ``loss``, see :meth:`Shrunk.risk`.
        confidence: that is sure enough, 0..1.
    """
    return np.asarray((risk <= 1 - confidence) | (gain >= LOSS_COUNTS * loss * risk))
