"""The line of champions as rows: each change with what was different from the champion before it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from graft.registry.promotion.line import Entry, Line

COMPARED = ("strategy", "commit", "data")


@dataclass(frozen=True)
class Row:
    """One change of champion.

    Attributes:
        entry: as it was written.
        now: its version is champion since this change.
        cut_off: it is under way, or was cut off; then the next promotion or rollback finishes it.
        first: there was none before it.
        changed: which of strategy, commit and data differ from the champion before.
        gained: by figure, its value less that of the champion before, where both are known.
    """

    entry: Entry
    now: bool
    cut_off: bool
    first: bool
    changed: tuple[str, ...]
    gained: dict[str, float]

    def as_dict(self) -> dict[str, Any]:
        """For JSON: the entry's fields, and this class's beside them."""
        return {
            **asdict(self.entry),
            "now": self.now,
            "cut_off": self.cut_off,
            "changed": list(self.changed),
            "gained": self.gained,
        }


def rows_of(line: Line) -> list[Row]:
    """Return the changes, oldest first; the last is the present one, if its version still is champion."""
    rows = []
    before: Entry | None = None
    for entry in line.entries:
        changed: tuple[str, ...] = ()
        gained: dict[str, float] = {}
        if before is not None:
            changed = tuple(name for name in COMPARED if getattr(entry, name) != getattr(before, name))
            gained = {
                name: value - before.figures[name]
                for name, value in entry.figures.items()
                if name in before.figures
            }
        last = entry is line.entries[-1]
        now = last and entry.version == line.champion
        rows.append(Row(entry, now, last and line.unrecorded, before is None, changed, gained))
        before = entry
    return rows
