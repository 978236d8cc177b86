"""Select members from what was measured: the cheapest that nothing dearer is better than by more than its error."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from graft.analysis.choose.measure import Measured
from graft.core.paired import Difference, difference, log_losses

# Copies of members that a mixture is made of at most, and so the finest weight.
MOST_COPIES = 12


@dataclass(frozen=True)
class Selection:
    """The members of a mixture of probabilities.

    Attributes:
        weights: by index into what was measured; they sum to 1.
        probabilities: of the mixture, float64 ``[N, C]``.
        losses: in nats, ``[N]``.
        right: bool ``[N]``.
        steps: what was compared, and why the next member was taken or not, in words.
    """

    weights: dict[int, float]
    probabilities: np.ndarray
    losses: np.ndarray
    right: np.ndarray
    steps: list[str]

    @property
    def log_loss(self) -> float:
        return float(self.losses.mean())

    @property
    def accuracy(self) -> float:
        return float(self.right.mean())


def select(measured: Sequence[Measured], labels: np.ndarray, groups: np.ndarray, most_members: int) -> Selection:
    """Return the candidate or the mixture of candidates that answers best, and has paid for itself.

    Begin with the cheapest candidate; a dearer one takes its place where its log loss is lower by more than the
    standard error of the difference. Beside it, candidates are added to a mixture one by one, with replacement, the
    one that lowers its log loss most (R. Caruana et al., Ensemble selection from libraries of models, ICML 2004). The
    mixture is taken where it, too, is better by more than the standard error.

    Args:
        measured: one or more, over the same images.
        labels: class indices ``[N]``.
        groups: of each image, any values ``[N]``.
        most_members: different ones, at most.
    """
    order = sorted(range(len(measured)), key=lambda index: (measured[index].candidate.rank, index))
    best, steps = order[0], []
    for index in order[1:]:
        found = difference(measured[index].losses, measured[best].losses, groups)
        if found.is_sure:
            steps.append(_in_words(measured[index].candidate.name, measured[best].candidate.name, found))
            best = index
    weights, mixture = _greedy(measured, labels, most_members)
    losses = log_losses(mixture, labels)
    found = difference(losses, measured[best].losses, groups)
    if len(weights) > 1 and found.is_sure:
        names = " and ".join(measured[index].candidate.name for index in weights)
        steps.append(_in_words(f"The mean of {names}", measured[best].candidate.name, found))
        return Selection(weights, mixture, losses, mixture.argmax(axis=1) == labels, steps)
    one = measured[best]
    return Selection({best: 1.0}, one.probabilities, one.losses, one.right, steps)


def _greedy(measured: Sequence[Measured], labels: np.ndarray, most_members: int) -> tuple[dict[int, float], np.ndarray]:
    """Return the weights of the mixture of least log loss that adding one by one finds, and its probabilities."""
    copies: dict[int, int] = {}
    mixture = np.zeros_like(measured[0].probabilities)
    least = np.inf
    for total in range(MOST_COPIES):
        trials = []
        for index, one in enumerate(measured):
            if index in copies or len(copies) < most_members:
                mixed = (mixture * total + one.probabilities) / (total + 1)
                trials.append((float(log_losses(mixed, labels).mean()), index, mixed))
        loss, index, mixed = min(trials, key=lambda trial: trial[:2])
        if loss >= least:
            break
        copies[index] = copies.get(index, 0) + 1
        least, mixture = loss, mixed
    count = sum(copies.values())
    return {index: number / count for index, number in copies.items()}, mixture


def _in_words(name: str, other: str, found: Difference) -> str:
    return f"{name} is better than {other}: log loss lower by {found.gain:.4f} +- {found.error:.4f}"
