"""Evidence that may be looked at after every delivery: a bet on each new image, whose winnings are the evidence.

Who bets that one model is right more often than another, at fair odds if it is not, is unlikely to grow rich: winnings
reach 20 in at most one case of twenty, however often one looks (J. Ville 1939). The stake follows from the bets before
it (I. Waudby-Smith and A. Ramdas, Estimating means of bounded random variables by betting, Journal of the Royal
Statistical Society B 86, 2024, section B.3: approximate GRAPA).
"""

import numpy as np

# Of what there is; beyond, one lost bet costs too much.
_MOST_STAKED = 0.5


def winnings(differences: np.ndarray) -> float:
    """Return what betting on a mean above 0 has made of 1.

    Args:
        differences: of independent images, or means of groups, in the order in which they came; -1..1, ``[N]``.
    """
    wealth, total, squares = 1.0, 0.0, 0.25
    for count, difference in enumerate(np.asarray(differences, np.float64).tolist(), start=1):
        mean = total / count
        variance = max(squares / count - mean**2, 1e-3)
        stake = min(max(mean / (variance + mean**2), 0.0), _MOST_STAKED)
        wealth *= 1 + stake * difference
        total += difference
        squares += difference**2
    return wealth
