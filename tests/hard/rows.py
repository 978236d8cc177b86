"""What a part of `make hard` found: rows as JSON lines, and the tables in docs/reliability.md made from them."""

import datetime
import json
import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """A line of a part's table.

    Attributes:
        cells: each column's title and what stands there. The first names the row: a later run of it replaces it.
        is_good: whether nothing was lost, and nothing is left to be mended.
    """

    cells: dict[str, str | int | float]
    is_good: bool

    def __str__(self) -> str:
        cells = "; ".join(f"{title} {value}" for title, value in self.cells.items())
        return cells if self.is_good else f"NOT GOOD: {cells}"


def add_row(file: Path, part: str, row: Row) -> None:
    """Append the row with its part and today's date."""
    file.parent.mkdir(parents=True, exist_ok=True)
    line = {"part": part, "date": datetime.date.today().isoformat(), "is_good": row.is_good, "cells": row.cells}
    with file.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(line) + "\n")


def write_tables(document: Path, file: Path) -> None:
    """Put each part's table between its marks ``<!-- PART: begin -->`` and ``<!-- PART: end -->``.

    Raises:
        ValueError: the document has no such place for a part that has rows.
    """
    latest: dict[str, dict[str, dict]] = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        latest.setdefault(row["part"], {})[str(next(iter(row["cells"].values())))] = row
    text = document.read_text(encoding="utf-8")
    for part, rows in latest.items():
        begin, end = f"<!-- {part}: begin -->", f"<!-- {part}: end -->"
        place = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        if not place.search(text):
            raise ValueError(f"{document} has no place {begin} {end}")
        table = f"{begin}\n\n{as_markdown(list(rows.values()))}\n\n{end}"
        text = place.sub(lambda _, table=table: table, text)
    document.write_text(text, encoding="utf-8")


def as_markdown(rows: list[dict]) -> str:
    """The table; what is not good is in bold, and each row has the day on which it ran."""
    titles = list(rows[0]["cells"])
    lines = [f"| {' | '.join([*titles, 'day'])} |", "|---" * (len(titles) + 1) + "|"]
    for row in rows:
        cells = [_cell(row["cells"].get(title, "")) for title in titles]
        if not row["is_good"]:
            cells = [f"**{cell}**" for cell in cells]
        lines.append(f"| {' | '.join([*cells, row['date']])} |")
    return "\n".join(lines)


def _cell(value: str | int | float) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value).replace("|", "\\|")
