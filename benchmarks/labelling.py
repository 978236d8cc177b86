"""How many labels a hundred good ones are worth: accuracy against labels, chosen at random or by `graft label`.

``python -m benchmarks.labelling FEATURES.npz``: arrays ``x`` [N, D], ``y`` [N] and, if wanted, ``g`` [N], the groups
that stay on one side of the split. A head is solved on what is labelled so far, chooses what is labelled next from the
rest, and is tested on a fifth that is never chosen. Each round's labels and mean accuracy over seeds are printed.
"""

import sys
from collections.abc import Callable

import numpy as np

from graft.deployment.labelling.worth_labelling import worth_labelling
from graft.networks.exact_head import fit_exact_head
from graft.networks.temperature import softmax

START, ROUND, ROUNDS, SEEDS = 20, 20, 9, 5
PENALTY = 0.03


def at_random(x: np.ndarray, p: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    return random.permutation(len(x))[:count]


def uncertain(x: np.ndarray, p: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    best = np.sort(p, axis=1)
    return np.argsort(best[:, -1] - best[:, -2], kind="stable")[:count]


def unlike(x: np.ndarray, p: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    return worth_labelling(x, np.full_like(p, 1 / p.shape[1]), count)


def both(x: np.ndarray, p: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    return worth_labelling(x, p, count)


def curve(choose: Callable[..., np.ndarray], x: np.ndarray, y: np.ndarray, g: np.ndarray, seed: int) -> list[float]:
    random = np.random.default_rng(seed)
    names = random.permutation(np.unique(g))
    test = np.isin(g, names[: len(names) // 5])
    pool = random.permutation(np.flatnonzero(~test))
    labelled, rest = list(pool[:START]), pool[START:]
    found = []
    for _ in range(ROUNDS + 1):
        classes = np.unique(y[labelled])
        at = np.searchsorted(classes, y[labelled])
        head = fit_exact_head(x[labelled], at, len(classes), penalties=[PENALTY], folds=2, seed=seed)
        found.append(float((classes[head.logits(x[test]).argmax(axis=1)] == y[test]).mean()))
        p = softmax(head.logits(x[rest]))
        chosen = choose(x[rest], p, ROUND, random)
        labelled += list(rest[chosen])
        rest = np.delete(rest, chosen)
    return found


def main(path: str) -> None:
    data = np.load(path)
    x, y = data["x"].astype(np.float32), np.unique(data["y"], return_inverse=True)[1]
    g = data["g"] if "g" in data else np.arange(len(y))
    print("labels    " + " ".join(f"{START + ROUND * number:6}" for number in range(ROUNDS + 1)))
    for choose in (at_random, uncertain, unlike, both):
        curves = np.array([curve(choose, x, y, g, seed) for seed in range(SEEDS)])
        print(f"{choose.__name__:10}" + " ".join(f"{100 * value:6.1f}" for value in curves.mean(axis=0)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
