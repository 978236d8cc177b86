"""Everything that is tried for minutes or hours, part after part: `make hard`.

    make hard MINUTES=10                        # each part as long as it takes, 10 minutes for each target of fuzz
    make hard MINUTES=1 ONLY="fuzz" WRITE=docs/reliability.md

A part is a module beside this file with ``run(minutes, only)``, which yields a :class:`rows.Row` for each line of its
table; it is added to ``PARTS``. The rows go to .graft/hard.jsonl as they come, and WRITE puts the latest of each into
the tables of a document. Ends with 1 where a row is not good. Short forms of all parts are in the ordinary tests.
"""

import argparse
import importlib
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
TESTS = HERE.parent
sys.path[:0] = [str(folder) for folder in (HERE, TESTS, TESTS / "data", TESTS / "deployment" / "server", ROOT)]
# In the order in which they run; each is a module of this name here, and a table of this name in the document.
PARTS = ("fuzz", "openapi", "faults", "load", "clean_machines", "team")


def main() -> int:
    """Run the parts, and write down what came of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10, help="for each target or case that takes a length")
    parser.add_argument("--only", nargs="*", default=[], metavar="PART[:TARGET]", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--to", type=Path, default=ROOT / ".graft" / "hard.jsonl", help="where the rows are added")
    parser.add_argument("--write", type=Path, help="a document with places for the tables")
    parser.add_argument("--table", action="store_true", help="run nothing; only write the tables")
    arguments = parser.parse_args()
    from rows import add_row, write_tables

    wanted: dict[str, list[str]] = {}
    for word in arguments.only or PARTS:
        part, _, target = word.partition(":")
        if part not in PARTS:
            parser.error(f"there is no part {part}; there are {', '.join(PARTS)}")
        wanted.setdefault(part, []).extend([target] if target else [])
    is_good = True
    for part, targets in {} if arguments.table else wanted.items():
        for row in importlib.import_module(part).run(arguments.minutes, targets):
            print(f"{part}: {row}", flush=True)
            add_row(arguments.to, part, row)
            is_good &= row.is_good
    if arguments.write:
        write_tables(arguments.write, arguments.to)
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
