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
    """Put each part's rows into its table between the marks ``<!-- PART: begin -->`` and ``<!-- PART: end -->``.

    A row replaces that of its name; rows of the document that were not run again stay.

    Raises:
        ValueError: the document has no such place for a part that has rows.
    """
    latest: dict[str, dict[str, dict]] = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        latest.setdefault(row["part"], {})[_cell(next(iter(row["cells"].values())))] = row
    text = document.read_text(encoding="utf-8")
    for part, rows in latest.items():
        begin, end = f"<!-- {part}: begin -->", f"<!-- {part}: end -->"
        place = re.search(f"{re.escape(begin)}(.*?){re.escape(end)}", text, re.DOTALL)
        if not place:
            raise ValueError(f"{document} has no place {begin} {end}")
        titles = list(next(iter(rows.values()))["cells"])
        written = [line for line in place[1].splitlines() if line.startswith("| ")][1:]
        lines = {line[2:].split(" | ")[0].strip("*"): line for line in written}
        lines |= {name: as_markdown(row, titles) for name, row in rows.items()}
        head = [f"| {' | '.join([*titles, 'day'])} |", "|---" * (len(titles) + 1) + "|"]
        table = "\n".join([*head, *lines.values()])
        text = f"{text[: place.start()]}{begin}\n\n{table}\n\n{end}{text[place.end() :]}"
    document.write_text(text, encoding="utf-8")


def as_markdown(row: dict, titles: list[str]) -> str:
    """Return a row as a line of the table, with the day on which it ran; what is not good is in bold."""
    cells = [_cell(row["cells"].get(title, "")) for title in titles]
    if not row["is_good"]:
        cells = [f"**{cell}**" for cell in cells]
    return f"| {' | '.join([*cells, row['date']])} |"


def _cell(value: str | int | float) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value).replace("|", "\\|")
