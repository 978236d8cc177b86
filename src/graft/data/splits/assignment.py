"""Assign groups to parts by seeded hash, so that growth never moves one.

A rule that keeps every group where it is as others arrive, in any order, and remembers nothing, can look at the
group alone: what it says of a group among others must be what it says of that group by itself. So each group is
drawn by hash, and of the n groups of a class a part with share p gets n p on average, with a standard deviation
of sqrt(n p (1 - p)): 20 % of 500 groups are 100 +/- 9, of 35 groups 7 +/- 2.4, and of 7 hands none at all in one
case of five. The last is no split, and no rule without memory can mend it.

Therefore a small class is *settled* once, in the run that first sees it: where a part expects fewer than
``SMALL`` of its groups, groups are exchanged until each part holds its exact quota, at least one. The exchanges
(a handful per class) are remembered in a small file; a class that is settled is never touched again, and what arrives
for it later is drawn by hash. Large classes need no memory of theirs. (What near-duplicates need is another matter,
:mod:`graft.data.splits.settled_groups`.)
"""

import hashlib
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from graft.core.errors import GraftError
from graft.data.splits.numbered_images import Names
from graft.data.splits.split_memory import Memory

SMALL = 10  # expected groups: from there on an empty part has a chance below e^-10, and deviations are tolerable
_CHUNK = 1 << 16  # names that are Python objects at a time
# Groups that a class is recognised by later: as long as one of them is left, it is the same class.
FOUNDERS_KEPT = 8


@dataclass(frozen=True)
class Draw:
    """One division of groups into parts.

    Attributes:
        name: what is drawn for, such as ``test``; the hash depends on it, so that draws are independent.
        shares: of each part, adding up to 1.
        minima: groups of a class that each part needs, at least 1.
        parts: the parts' names in messages.
        seed: of the hash.
        settings: what else tells this draw from others in the memory.
    """

    name: str
    shares: Sequence[float]
    minima: Sequence[int]
    parts: Sequence[str]
    seed: int
    settings: str = ""

    @property
    def key(self) -> str:
        shares = "/".join(f"{share:.6g}" for share in self.shares)
        return f"{self.name}: seed {self.seed}, shares {shares}" + (f", {self.settings}" if self.settings else "")

    def position(self, group: str) -> float:
        """Return the place in [0, 1) where the hash puts a group: it depends on name, seed and group alone."""
        return hash_position(self.name, group, self.seed)

    def part_of(self, group: str, memory: Memory) -> int:
        """Return the part of a group that was drawn before: as it was exchanged, or by its hash."""
        exchanged = memory.exchanged.get(self.key, {}).get(group)
        return int(self.parts_at(np.array([self.position(group)]))[0]) if exchanged is None else exchanged

    def parts_at(self, positions: np.ndarray) -> np.ndarray:
        """Return the part that each of many positions falls into."""
        return np.searchsorted(np.cumsum(self.shares[:-1]), positions, side="right")


def hash_position(name: str, group: str, seed: int) -> float:
    """Return a number in [0, 1), evenly spread over groups and unlike for another name or seed."""
    digest = hashlib.sha256(f"{seed}:{name}:{group}".encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64


def assign(
    names: Names, labels: Sequence[str], groups: np.ndarray, classes: np.ndarray, draw: Draw, memory: Memory
) -> tuple[np.ndarray, Memory]:
    """Return the part of every group, and the memory with what this run assigned for good. Groups and classes are
    numbers.

    Args:
        names: of groups, sorted and all different; those that ``groups`` does not number are not there.
        groups: position in ``names``, and
        classes: position in ``labels``, of each pair of a group and a class that it holds images of: int64
            ``[n]``, sorted, all different.
        memory: what earlier runs assigned for good; it is not changed.

    Returns:
        The part of every group by its position in ``names``, int16, -1 where it is not there; and the memory.

    Raises:
        GraftError: a class has too few groups for the parts, or a part is left without one of its groups.
    """
    remembered = memory.exchanged.get(draw.key, {})
    founders = memory.founders.get(draw.key, {})
    there = np.unique(groups)
    positions = np.zeros(len(names))
    for start in range(0, len(there), _CHUNK):
        chunk = there[start : start + _CHUNK]
        positions[chunk] = [draw.position(name) for name in names.of(chunk)]
    assigned = np.full(len(names), -1, dtype=np.int16)
    assigned[there] = draw.parts_at(positions[there])
    for name, part in remembered.items():
        if (known := position_in(names, name)) is not None and assigned[known] >= 0:
            assigned[known] = part
    order = np.lexsort([groups, positions[groups], classes])
    edges = np.searchsorted(classes[order], np.arange(len(labels) + 1))
    members = {
        label: groups[order[start:end]]
        for label, start, end in zip(labels, edges[:-1], edges[1:], strict=True)
        if start < end
    }
    settled = {label for label in members if _any_there(founders.get(label, []), names, assigned)}
    # A group that holds images of a settled class has been seen, and stays.
    fixed = np.zeros(len(names), dtype=bool)
    for label in settled:
        fixed[members[label]] = True
    exchanged = dict(remembered)
    # The smallest classes first: they have the least choice.
    for label in sorted(members, key=lambda label: (len(members[label]), label)):
        if label not in settled:
            _refuse_too_few(label, len(members[label]), draw)
            for group, part in _fill_small_classes(members[label], assigned, fixed, draw).items():
                assigned[group] = part
                exchanged[names[group]] = part
            fixed[members[label]] = True
        _refuse_empty_part(label, members[label], assigned, draw)
    new_founders = {
        **founders,
        **{label: names.of(members[label][:FOUNDERS_KEPT]).tolist() for label in members if label not in settled},
    }
    return assigned, replace(
        memory,
        founders={**memory.founders, draw.key: dict(sorted(new_founders.items()))},
        exchanged={**memory.exchanged, draw.key: dict(sorted(exchanged.items()))},
    )


def position_in(names: Names, name: str) -> int | None:
    """Return the position of a name among sorted ones, or None."""
    position = bisect_left(names, name)
    return position if position < len(names) and names[position] == name else None


def _any_there(groups: Sequence[str], names: Names, assigned: np.ndarray) -> bool:
    found = (position_in(names, group) for group in groups)
    return any(position is not None and assigned[position] >= 0 for position in found)


def _fill_small_classes(members: np.ndarray, assigned: np.ndarray, fixed: np.ndarray, draw: Draw) -> dict[int, int]:
    """Return the exchanges that bring a class to its quotas, if one of the parts is small or empty."""
    count = len(members)
    sizes = np.bincount(assigned[members], minlength=len(draw.shares))
    lacking = any(size < least for size, least in zip(sizes, draw.minima, strict=True))
    if min(draw.shares) * count >= SMALL and not lacking:
        return {}
    held: list[list[int]] = [[] for _ in draw.shares]
    for group in members.tolist():
        held[assigned[group]].append(group)
    wanted = quotas(count, draw.shares, draw.minima)
    moves: dict[int, int] = {}
    for target, quota in enumerate(wanted):
        while len(held[target]) < quota and (donation := _donation(held, wanted, fixed)):
            source, group = donation
            held[source].remove(group)
            held[target].append(group)
            moves[group] = target
    return moves


def _donation(held: list[list[int]], wanted: list[int], fixed: np.ndarray) -> tuple[int, int] | None:
    """Return the part furthest above its quota, and the last of its groups that may move; None where none may."""
    for source in sorted(range(len(held)), key=lambda part: (wanted[part] - len(held[part]), part)):
        if len(held[source]) <= wanted[source]:
            return None
        for group in reversed(held[source]):
            if not fixed[group]:
                return source, group
    return None


def _refuse_too_few(label: str, count: int, draw: Draw) -> None:
    needed = sum(draw.minima)
    if count < needed:
        images = "image" if count == 1 else "images or groups of images"
        raise GraftError(
            f"The class '{label}' has {count} different {images} to divide among "
            f"{', '.join(draw.parts)}, which takes at least {needed}",
            "Add images of it, or remove the class",
        )


def _refuse_empty_part(label: str, members: np.ndarray, assigned: np.ndarray, draw: Draw) -> None:
    filled = set(np.unique(assigned[members]).tolist())
    for part, name in enumerate(draw.parts):
        if part not in filled:
            raise GraftError(
                f"None of the {len(members)} images or groups of images of the class '{label}' is in {name}: "
                "they were assigned before, or share groups with other classes, and what is assigned does not move",
                "Add images of the class; or take another split.seed, which makes another split",
            )


def quotas(
    count: int, shares: Sequence[float], minima: Sequence[int], maxima: Sequence[int] | None = None
) -> list[int]:
    """Divide ``count`` by shares into whole numbers: nearest to the shares, within minima and maxima.

    The minima may add up to no more than ``count``, the maxima to no less.
    """
    most = maxima or [count] * len(shares)
    exact = [count * share for share in shares]
    whole = [min(max(int(value), low), high) for value, low, high in zip(exact, minima, most, strict=True)]
    while (left := count - sum(whole)) != 0:
        step = 1 if left > 0 else -1
        able = [i for i, n in enumerate(whole) if (n < most[i] if step > 0 else n > minima[i])]
        # The one that is furthest from its exact share in the direction of the step; of equals the first.
        whole[max(able, key=lambda i: (step * (exact[i] - whole[i]), -i))] += step
    return whole


def exact_quotas(counts: Mapping[str, int], number: int, keep: int, setting: str) -> dict[str, int]:
    """Return how many images to take of each class so that they are ``number`` in all, in the classes' proportions.

    Every class gives at least one and keeps at least ``keep``.

    Args:
        keep: images of each class to leave behind.
        setting: what asks for it, for messages, such as ``split.test_size``.

    Raises:
        GraftError: there are fewer images, or more classes, than that allows.
    """
    labels = sorted(counts)
    for label in labels:
        if counts[label] <= keep:
            raise GraftError(
                f"The class '{label}' has {counts[label]} different images, and {setting} takes at least 1 and "
                f"leaves at least {keep}",
                "Add images of it, or remove the class",
            )
    most = sum(counts.values()) - keep * len(labels)
    if not len(labels) <= number <= most:
        raise GraftError(
            f"{setting} is {number}, but of {sum(counts.values())} different images in {len(labels)} classes "
            f"between {len(labels)} and {most} can be taken",
            "Ask for another number, or for a fraction such as 0.2",
        )
    total = sum(counts.values())
    taken = quotas(
        number,
        [counts[label] / total for label in labels],
        [1] * len(labels),
        [counts[label] - keep for label in labels],
    )
    return dict(zip(labels, taken, strict=True))
