"""Assigning groups to parts by seeded hash, so that growth never moves one.

A rule that keeps every group where it is as others arrive, in any order, and remembers nothing, can look at the
group alone: what it says of a group among others must be what it says of that group by itself. So each group is
drawn by hash, and of the n groups of a class a part with share p gets n p on average, with a standard deviation
of sqrt(n p (1 - p)): 20 % of 500 groups are 100 +/- 9, of 35 groups 7 +/- 2.4, and of 7 hands none at all in one
case of five. The last is no split, and no rule without memory can mend it.

Therefore a small class is *settled* once, in the run that first sees it: where a part expects fewer than
``SMALL`` of its groups, groups are exchanged until each part holds its exact quota, at least one. The exchanges
(a handful per class) are the only thing remembered, in a small file; a class that is settled is never touched
again, and what arrives for it later is drawn by hash. Large classes need no memory at all.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from graft.data.quotas import quotas
from graft.errors import GraftError

SMALL = (
    10  # expected groups: from there on an empty part has a chance below e^-10, and deviations are tolerable
)
# Groups that a class is recognised by later: as long as one of them is left, it is the same class.
FOUNDERS_KEPT = 8


@dataclass(frozen=True)
class Memory:
    """What earlier runs settled, by draw (a text that names part, seed and shares; another draw, another entry).

    Attributes:
        founders: by draw and class, some groups of the class when it was settled.
        exchanged: by draw and group, the part it was given against its hash.
    """

    founders: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    exchanged: dict[str, dict[str, int]] = field(default_factory=dict)


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
        return f"{self.name}: seed {self.seed}, shares {shares}" + (
            f", {self.settings}" if self.settings else ""
        )

    def position(self, group: str) -> float:
        """Where in [0, 1) the hash puts a group: it depends on name, seed and group, and nothing else."""
        return hash_position(self.name, group, self.seed)

    def part(self, position: float) -> int:
        """The part that a position falls into."""
        edge = 0.0
        for index, share in enumerate(self.shares[:-1]):
            edge += share
            if position < edge:
                return index
        return len(self.shares) - 1


def hash_position(name: str, group: str, seed: int) -> float:
    """A number in [0, 1), evenly spread over groups and unlike for another name or seed."""
    digest = hashlib.sha256(f"{seed}:{name}:{group}".encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64


def assign(groups: Mapping[str, Sequence[str]], draw: Draw, memory: Memory) -> tuple[dict[str, int], Memory]:
    """The part of every group, and the memory with what this run settled.

    Args:
        groups: by group, the classes it holds images of.
        draw: how to divide.
        memory: what earlier runs settled; it is not changed.

    Raises:
        GraftError: a class has too few groups for the parts, or a part is left without one of its groups.
    """
    remembered = memory.exchanged.get(draw.key, {})
    founders = memory.founders.get(draw.key, {})
    positions = {group: draw.position(group) for group in groups}
    assigned = {group: remembered.get(group, draw.part(position)) for group, position in positions.items()}
    members: dict[str, list[str]] = {}
    for group in sorted(groups, key=lambda group: (positions[group], group)):
        for label in set(groups[group]):
            members.setdefault(label, []).append(group)
    settled = {label for label in members if any(group in groups for group in founders.get(label, []))}
    # A group that holds images of a settled class has been seen, and stays.
    fixed = {group for label in settled for group in members[label]}
    exchanged = dict(remembered)
    # The smallest classes first: they have the least choice.
    for label in sorted(members, key=lambda label: (len(members[label]), label)):
        if label not in settled:
            _refuse_too_few(label, len(members[label]), draw)
            moves = _settle(members[label], assigned, fixed, draw)
            assigned.update(moves)
            exchanged.update(moves)
            fixed.update(members[label])
        _refuse_empty_part(label, members[label], assigned, draw)
    new_founders = {
        **founders,
        **{label: members[label][:FOUNDERS_KEPT] for label in members if label not in settled},
    }
    return assigned, Memory(
        founders={**memory.founders, draw.key: dict(sorted(new_founders.items()))},
        exchanged={**memory.exchanged, draw.key: dict(sorted(exchanged.items()))},
    )


def read_memory(path: Path) -> Memory:
    """What earlier runs settled; empty where there is no file.

    Raises:
        GraftError: the file is not one of graft's.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return Memory(founders=content["founders"], exchanged=content["exchanged"])
    except FileNotFoundError:
        return Memory()
    except (ValueError, KeyError, TypeError):
        raise GraftError(
            f"{path} cannot be read as what earlier splits settled",
            "Restore it with git; without it, small classes may be divided anew",
        ) from None


def write_memory(memory: Memory, path: Path) -> None:
    """Writes the memory as JSON: UTF-8, LF, equal for equal memory."""
    content: dict[str, Any] = {"founders": memory.founders, "exchanged": memory.exchanged}
    text = json.dumps(content, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")


def _settle(
    members: Sequence[str], assigned: Mapping[str, int], fixed: set[str], draw: Draw
) -> dict[str, int]:
    """The exchanges that bring a class to its quotas, if one of the parts is small or empty."""
    count = len(members)
    held: list[list[str]] = [[] for _ in draw.shares]
    for group in members:
        held[assigned[group]].append(group)
    lacking = any(len(part) < least for part, least in zip(held, draw.minima, strict=True))
    if min(draw.shares) * count >= SMALL and not lacking:
        return {}
    wanted = quotas(count, draw.shares, draw.minima)
    moves: dict[str, int] = {}
    for target, quota in enumerate(wanted):
        while len(held[target]) < quota and (donation := _donation(held, wanted, fixed)):
            source, group = donation
            held[source].remove(group)
            held[target].append(group)
            moves[group] = target
    return moves


def _donation(held: list[list[str]], wanted: list[int], fixed: set[str]) -> tuple[int, str] | None:
    """The part furthest above its quota, and the last of its groups that may move; None where none may."""
    for source in sorted(range(len(held)), key=lambda part: (wanted[part] - len(held[part]), part)):
        if len(held[source]) <= wanted[source]:
            return None
        for group in reversed(held[source]):
            if group not in fixed:
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


def _refuse_empty_part(label: str, members: Sequence[str], assigned: Mapping[str, int], draw: Draw) -> None:
    filled = {assigned[group] for group in members}
    for part, name in enumerate(draw.parts):
        if part not in filled:
            raise GraftError(
                f"None of the {len(members)} images or groups of images of the class '{label}' is in {name}: "
                "they were assigned before, or share groups with other classes, and what is assigned does not move",
                "Add images of the class; or take another split.seed, which makes another split",
            )
