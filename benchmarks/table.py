"""The one table that all benchmarks end in: as text, as Markdown, and in its place in a document."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

COLUMNS = ("case", "graft", "against", "its figure", "ratio", "target", "met")
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


@dataclass(frozen=True)
class Row:
    """One figure held against another of the same run.

    Attributes:
        case: what was done.
        ours, theirs: the figures, with their units.
        against: what the second one is of.
        ratio: of the two, as words.
        target: what the ratio should be, as words.
        is_met: whether it is; None for a case that failed.
    """

    case: str
    ours: str
    against: str
    theirs: str
    ratio: str
    target: str
    is_met: bool | None

    @classmethod
    def at_least(
        cls, case: str, ours: str, against: str, theirs: str, ratio: float, target: float, unit: str = "x"
    ) -> Row:
        """Return a row whose ratio should be ``target`` or more; ``unit`` is ``x`` or ``%``."""
        return cls(case, ours, against, theirs, _ratio(ratio, unit), f">= {target:g} {unit}", ratio >= target)

    @classmethod
    def at_most(
        cls, case: str, ours: str, against: str, theirs: str, ratio: float, target: float, unit: str = "x"
    ) -> Row:
        """Return a row whose ratio should be ``target`` or less."""
        return cls(case, ours, against, theirs, _ratio(ratio, unit), f"<= {target:g} {unit}", ratio <= target)

    @classmethod
    def failed(cls, case: str, reason: str) -> Row:
        """Return a row for a case that came to no figure."""
        return cls(case, "-", "-", "-", "-", reason, None)

    @property
    def met(self) -> str:
        """In words."""
        return {True: "met", False: "MISSED", None: "FAILED"}[self.is_met]

    @property
    def cells(self) -> list[str]:
        return [self.case, self.ours, self.against, self.theirs, self.ratio, self.target, self.met]


def as_json(rows: Sequence[Row]) -> str:
    """Return what :func:`from_json` reads."""
    return json.dumps([asdict(row) for row in rows])


def from_json(text: str) -> list[Row]:
    """Read the rows of another process."""
    return [Row(**row) for row in json.loads(text)]


def as_text(rows: Sequence[Row]) -> str:
    """Return columns side by side, for a terminal."""
    lines = [list(COLUMNS), *(row.cells for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(COLUMNS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def as_markdown(rows: Sequence[Row], machine: Mapping[str, str], date: str) -> str:
    """Return the machine, and the table; a missed target is in bold."""
    facts = "; ".join(f"{name} {value}" for name, value in machine.items())
    lines = [f"Measured {date} on: {facts}.", "", f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    for row in rows:
        cells = [cell.replace("|", "\\|") for cell in row.cells]
        if not row.is_met:
            cells[-1] = f"**{cells[-1]}**"
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def write_between_markers(document: Path, text: str) -> None:
    """Put ``text`` in the place of what stands between the markers.

    Raises:
        ValueError: the document does not hold both, once each and in order.
    """
    old = document.read_text(encoding="utf-8")
    if old.count(BEGIN) != 1 or old.count(END) != 1 or old.index(BEGIN) > old.index(END):
        raise ValueError(f"{document} should hold {BEGIN} and, below it, {END}, once each")
    head, rest = old.split(BEGIN)
    tail = rest.split(END)[1]
    document.write_text(f"{head}{BEGIN}\n\n{text}\n\n{END}{tail}", encoding="utf-8")


def _ratio(value: float, unit: str) -> str:
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:.{digits}f} {unit}"
