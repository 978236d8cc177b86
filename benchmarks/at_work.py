"""A champion at work: commands that ask one thing, the server under load, and sweeps of many trials.

A fresh copy of the project, `graft data import FOLDER`, `graft run` of the frozen strategy and `graft promote`; then
each command in a process of its own. The second run of a command counts: the first fills caches.

    python -m benchmarks.at_work FOLDER
"""

import argparse
import re
import tempfile
from pathlib import Path

from benchmarks.fresh_project import RUN, change_params, commit, fresh_copy
from benchmarks.machine import Measured, cold_cache, measure
from benchmarks.table import Row, as_text
from graft.bundle.images import SUFFIXES
from graft.core.project import Project, find_project

# The gate is to be passed whatever the photographs are: what is measured is what follows.
SETTINGS = {
    "train.run": ["frozen"],
    "choose.quality": "fast",
    "train.strategies.frozen.members": "[]",  # a head that is trained in epochs has settings to try
    "gate.minimum": 0.01,
    "gate.min_class_recall": 0,
    "gate.max_calibration_error": 1,
    "sweep.try": {"frozen": {"learning_rate": {"low": 0.0001, "high": 0.01}, "epochs": [10]}},
}
CLIENTS, SERVED_SECONDS = 32, 10
FEW, MANY = 5, 100
SERVED = re.compile(rf"^ *{CLIENTS} +(?P<rate>[\d.]+) +(?P<share>[\d.]+)", re.MULTILINE)
FORWARD = re.compile(r"^forward pass of \d+ +(?P<rate>[\d.]+)", re.MULTILINE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="class folders, or train/ and test/ with class folders")
    print(as_text(rows(find_project(), parser.parse_args().folder.resolve())))


def rows(home: Project, folder: Path) -> list[Row]:
    """Measure what a project of its own with a champion costs, over the photographs of ``folder``."""
    with tempfile.TemporaryDirectory(prefix="graft-at-work-") as place:
        project = Project(fresh_copy(home, Path(place) / "project"))
        change_params(project, SETTINGS)
        cold_cache(home.cache, project.own_cache)
        for command in (["data", "import", str(folder), "--name", "photographs"], ["run"]):
            _graft(project, *command)
            commit(project.root, "A step of the benchmark")
        _graft(project, "gate")
        _graft(project, "promote")
        photograph = next(path for path in sorted(project.data.rglob("*")) if path.suffix.lower() in SUFFIXES)
        return [
            *(
                _command(project, name, limit, *arguments)
                for name, limit, arguments in (
                    ("graft history", 0.5, ("history",)),
                    ("graft predict, one photograph", 1.0, ("predict", str(photograph))),
                )
            ),
            _served(project),
            _sweeps(project),
        ]


def _command(project: Project, name: str, limit: float, *arguments: str) -> Row:
    """Return a row for a command's CPU seconds."""
    _graft(project, *arguments)
    done = _graft(project, *arguments)
    return Row.at_most(
        name,
        f"{done.seconds:.1f} s ({done.cpu_seconds:.1f} s CPU)",
        "the clock, CPU",
        f"{limit:g} s",
        done.cpu_seconds / limit,
        1,
    )


def _served(project: Project) -> Row:
    """Return a row for images a second over HTTP, of the bare forward pass."""
    load = ["--clients", str(CLIENTS), "--seconds", str(SERVED_SECONDS)]
    text = _run(project, "-m", "benchmarks.serving", str(project.data), *load).answer["text"]
    served, forward = SERVED.search(text), FORWARD.search(text)
    if served is None or forward is None:
        raise RuntimeError(f"no figures of the server:\n{text[-2000:]}")
    return Row.at_least(
        f"served, {CLIENTS} clients",
        f"{float(served['rate']):.0f} images/s",
        "the bare forward pass in batches",
        f"{float(forward['rate']):.0f} images/s",
        100 * float(served["share"]),
        75,
        "%",
    )


def _sweeps(project: Project) -> Row:
    """Return a row for the peak memory of a sweep of many trials, against one of few."""
    few, many = (_graft(project, "sweep", "--trials", str(trials)) for trials in (FEW, MANY))
    return Row.at_most(
        f"peak memory, sweep of {MANY} trials ({many.seconds:.0f} s)",
        f"{many.peak_mb:,.0f} MB",
        f"of {FEW} trials",
        f"{few.peak_mb:,.0f} MB",
        100 * (many.peak_mb / few.peak_mb - 1),
        5,
        "%",
    )


def _graft(project: Project, *arguments: str) -> Measured:
    return _run(project, "-c", RUN, *arguments)


def _run(project: Project, *arguments: str) -> Measured:
    return measure(arguments, cwd=project.root, GRAFT_CACHE="", COLUMNS="200")


if __name__ == "__main__":
    main()
