"""Evidence that may be looked at after every delivery: a bet on each new image, whose winnings are the evidence.

Who bets that one model is right more often than another, at fair odds if it is not, is unlikely to grow rich: winnings
reach 20 in at most one case of twenty, however often one looks (J. Ville 1939). The stake follows from the bets before
it (I. Waudby-Smith and A. Ramdas, Estimating means of bounded random variables by betting, Journal of the Royal
Statistical Society B 86, 2024, section B.3: approximate GRAPA).
"""

import numpy as np

# Of what there is; beyond, one lost bet costs too much.
_MOST_STAKED = 0.5


class Bets:
    """Bets on means above 0, one series for each element of an array.

    Attributes:
        wealth: what they have made of 1 so far, of the shape that was asked for.
    """

    def __init__(self, shape: tuple[int, ...] = ()) -> None:
        self.wealth = np.ones(shape)
        self._count, self._total, self._squares = np.ones(shape), np.zeros(shape), np.full(shape, 0.25)

    def settle(self, differences: np.ndarray) -> None:
        """Bet in each series on its next difference, -1..1, of the shape of :attr:`wealth`."""
        mean = self._total / self._count
        variance = np.maximum(self._squares / self._count - mean**2, 1e-3)
        stakes = np.clip(mean / (variance + mean**2), 0.0, _MOST_STAKED)
        self.wealth = self.wealth * (1 + stakes * differences)
        self._count, self._total = self._count + 1, self._total + differences
        self._squares = self._squares + differences**2

    def restart(self, which: np.ndarray) -> None:
        """Begin those series anew, bool of the shape of :attr:`wealth`."""
        self.wealth[which], self._count[which] = 1, 1
        self._total[which], self._squares[which] = 0, 0.25


def winnings(differences: np.ndarray) -> float:
    """Return what betting on a mean above 0 has made of 1.

    Args:
        differences: of independent images, or means of groups, in the order in which they came; -1..1, ``[N]``.
    """
    bets = Bets()
    for difference in np.asarray(differences, np.float64):
        bets.settle(difference)
    return float(bets.wealth)
