"""Every benchmark with a target, one after another, and one table of what came of them.

    make bench
    make bench DATA=photographs.zip ONLY="experiment extraction" HUB=FOLDER
    make bench WRITE=docs/performance.md

Both figures of a row are of the same run on the same machine. A missed target is shown as missed; nothing depends
on it. Without DATA the project's own data/ is used.
"""

import argparse
import datetime
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import at_work, experiment, extraction, fine_tuning, memory, pipeline, retraining
from benchmarks.machine import describe_machine, photographs_folder
from benchmarks.table import Row, as_markdown, as_text, write_between_markers
from graft.core.errors import GraftError
from graft.core.project import find_project

CASES = ("experiment", "extraction", "fine_tuning", "retraining", "at_work", "memory", "pipeline")
OF_PHOTOGRAPHS = CASES[:5]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a folder of photographs, or an archive of one")
    parser.add_argument("--only", nargs="*", default=[], metavar="CASE", help=f"of {', '.join(CASES)}")
    parser.add_argument("--hub", help="MobileNetV2's feature vector for the article's script: folder or handle")
    parser.add_argument("--weights", default="imagenet", help="of MobileNetV2: imagenet, or a file")
    parser.add_argument("--pipeline-data", type=Path, help="for the whole pipeline; by default the default data set")
    parser.add_argument("--write", type=Path, help="a document with a place for the table")
    arguments = parser.parse_args()
    unknown = set(arguments.only) - set(CASES)
    if unknown:
        parser.error(f"there is no case {', '.join(sorted(unknown))}; there are {', '.join(CASES)}")
    home = find_project()
    machine = describe_machine()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="graft-bench-") as scratch:
        needs_photographs = not arguments.only or set(arguments.only) & set(OF_PHOTOGRAPHS)
        folder = Path()
        if needs_photographs:
            folder = photographs_folder(arguments.data or home.data, Path(scratch) / "photographs")
        cases: dict[str, Callable[[], list[Row]]] = {
            "experiment": lambda: experiment.rows(folder, home.cache, arguments.hub, arguments.weights),
            "extraction": lambda: extraction.rows(folder, home.cache, arguments.weights),
            "fine_tuning": lambda: fine_tuning.rows(folder, home.cache, arguments.weights),
            "retraining": lambda: retraining.rows(home, folder),
            "at_work": lambda: at_work.rows(home, folder),
            "memory": lambda: memory.rows(),
            "pipeline": lambda: pipeline.rows(home, arguments.pipeline_data),
        }
        for name in arguments.only or CASES:
            started = time.perf_counter()
            print(f"--- {name}", flush=True)
            try:
                found = cases[name]()
            except (GraftError, RuntimeError, OSError, ValueError) as error:
                print(error, flush=True)
                found = [Row.failed(name, str(error).strip().splitlines()[-1][:120])]
            rows += found
            print(f"{as_text(found)}\n    {time.perf_counter() - started:.0f} s", flush=True)
    print(f"\n{as_text(rows)}")
    print("\n" + "; ".join(f"{name} {value}" for name, value in machine.items()))
    if arguments.write:
        today = datetime.date.today().isoformat()
        write_between_markers(arguments.write, as_markdown(rows, machine, today))


if __name__ == "__main__":
    main()
