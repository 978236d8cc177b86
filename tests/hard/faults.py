"""Part ``faults`` of `make hard`: a thousand accidents by lot, see accidents.py.

    make hard ONLY="faults:retrain faults:promote"

Each kind of command is a row; a draw that was lost is printed, and comes again with

    python tests/hard/accidents.py retrain --draw 137

Draws that were made a few at a time become rows by this, of each number the latest:

    python tests/hard/faults.py draws.jsonl --to .graft/hard.jsonl
"""

import argparse
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fault_injection import compiler
from rows import Row, add_row

ACCIDENTS = Path(__file__).resolve().parent / "accidents.py"
# 1,000 in all. `run` is a whole `dvc repro`, and `stages` trains a network: they take the longest.
DRAWS = {
    "retrain": 200,
    "promote": 250,
    "bring_in": 150,
    "predict": 150,
    "export": 75,
    "run": 75,
    "serve": 50,
    "stages": 50,
}
NAMES = {
    "retrain": "graft retrain",
    "promote": "graft promote, rollback",
    "bring_in": "graft data import --replace",
    "predict": "graft predict --out",
    "export": "graft export",
    "run": "graft run (dvc repro, a cheap stage)",
    "serve": "graft serve --log",
    "stages": "the stages of graft run, without DVC",
}


def run(minutes: float, only: list[str]) -> Iterator[Row]:
    """Yield a row for each kind; the number of draws is fixed, so that each has its number."""
    if compiler() is None:
        yield Row({"command": "none", "draws": "not tried: no C compiler, or not Linux"}, True)
        return
    for kind in only or DRAWS:
        command = [sys.executable, str(ACCIDENTS), kind, "--draws", str(DRAWS[kind])]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        yield row_of(kind, [json.loads(line) for line in done.stdout.splitlines()], DRAWS[kind])


def row_of(kind: str, draws: list[dict[str, Any]], wanted: int) -> Row:
    """The row of the draws that were made."""
    ways = Counter(one["way"] for one in draws)
    lost = [one for one in draws if one["problem"]]
    for one in lost:
        print(f"{kind}, draw {one['draw']}, {one['way']} at {one['what']}: {one['problem']}", file=sys.stderr)
    cells: dict[str, str | int | float] = {
        "command": NAMES[kind],
        "draws": len(draws),
        "errors": sum(count for way, count in ways.items() if way.startswith("E")),
        "SIGKILL": ways["SIGKILL"],
        "SIGSTOP": sum(count for way, count in ways.items() if way.startswith("SIGSTOP")),
        "survived": len(draws) - len(lost),
        "lost": len(lost),
    }
    return Row(cells, not lost and len(draws) == wanted)


def main() -> None:
    """Add the rows of draws in files of JSON lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("draws", type=Path, nargs="+", help="what accidents.py has printed")
    parser.add_argument("--to", type=Path, required=True, help="where the rows are added")
    arguments = parser.parse_args()
    latest: dict[str, dict[int, dict[str, Any]]] = {}
    for file in arguments.draws:
        for one in map(json.loads, file.read_text(encoding="utf-8").splitlines()):
            latest.setdefault(one["kind"], {})[one["draw"]] = one
    for kind in [name for name in DRAWS if name in latest]:
        row = row_of(kind, list(latest[kind].values()), len(latest[kind]))
        print(row)
        add_row(arguments.to, "faults", row)


if __name__ == "__main__":
    main()
