"""A simulated year of deliveries: a real Prefect server, `graft schedule`, and time that passes a week in a minute.

Each week a delivery is moved into the inbox of a project of its own, and the schedule finds it. After each week it is
looked at what came of it: whether test images moved, whether a bad delivery reached data/, whether there is one
champion, and what it is right on. A run is killed where the week says so. Writes year.csv and year.png into the
folder, and prints a table.

    python -m benchmarks.year DATA --work FOLDER --group-by '(.+)-[0-9]+' --first 0.3
    python -m benchmarks.year DATA --work FOLDER --new-class 9 --every 4      # what changes in a year, see year_events
    python -m benchmarks.year --table FOLDER          # of a year that has been, or is under way

Mislabelled deliveries are images under the name of the next class. Gate and image size are set for small beginnings,
see ``SETTINGS``.
"""

import argparse
import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.fresh_project import RUN, change_params, commit, fresh_copy
from benchmarks.machine import cold_cache
from benchmarks.year_deliveries import Week, first_images, make_weeks, put
from benchmarks.year_events import WITHDRAWAL, Events, Traffic, eventful_weeks, places_left, settings, spoil
from benchmarks.year_holdout import HoldOut, set_aside
from benchmarks.year_report import Seen, as_table, draw, read, report, write
from graft.core.environment import configure
from graft.core.project import Project, find_project

# Where the year begins, a third of the classes' images is there, and the first model is not good.
SETTINGS = {
    "train.run": ["frozen"],
    "train.image_size": 96,
    "gate.minimum": 0.5,
    "gate.min_class_recall": 0.2,
    "gate.max_calibration_error": 0.3,
    "retrain.source.settle_seconds": 0,
    "retrain.deliveries.keep_days": 0,
}
EVERY_SECONDS = 10
LIMIT_SECONDS = 3600.0  # a week takes a minute, but a machine may have other work


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", help="class folders, or train/ and test/ with class folders")
    parser.add_argument("--work", type=Path, help="an empty folder for the project")
    parser.add_argument("--table", type=Path, help="a folder worked in before: print its table, draw its plot")
    parser.add_argument("--weeks", type=int, default=52)
    parser.add_argument("--first", type=float, default=0.3, help="share of the images that is there at first")
    parser.add_argument("--aside", type=float, default=0.15, help="share that nothing sees, of which the truth is told")
    parser.add_argument("--group-by", default="none", help="as split.group_by in params.yaml")
    parser.add_argument("--new-class", default="", help="a class that comes in week 20, with corrections and the like")
    parser.add_argument("--every", type=int, default=1, help="weeks from delivery to delivery, with --new-class")
    parser.add_argument("--seed", type=int, default=1, help="of the moments of kills")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="in params.yaml")
    arguments = parser.parse_args()
    if arguments.table:
        rows = read(arguments.table)
        print(as_table(rows))
        draw(rows, arguments.table / "year.png")
        return
    if arguments.data is None or arguments.work is None:
        parser.error("name a folder of photographs, and --work")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the schedule ends with this process
    home = find_project()
    project, weeks, hold_out, traffic = begin(home, arguments)
    run_year(project, weeks, arguments.work, random.Random(arguments.seed), hold_out, traffic)


def begin(home: Project, arguments: argparse.Namespace) -> tuple[Project, list[Week], HoldOut, Traffic | None]:
    """Make a committed project with the first images, the year's deliveries, and what is asked at work."""
    data = arguments.data.resolve()
    train = data / "train" if (data / "train").is_dir() else data
    grouped = arguments.group_by != "none"
    pool: dict[str, list[Path]] = {
        folder.name: sorted(folder.iterdir(), key=lambda path: path.name if grouped else _shuffled(path))
        for folder in sorted(train.iterdir())
        if folder.is_dir()
    }
    pool, aside = set_aside(pool, arguments.aside, arguments.group_by)
    first = arguments.work / "first"
    beginning = {label: files for label, files in pool.items() if label != arguments.new_class}
    for label, files in first_images(beginning, arguments.first).items():
        target = first / ("train" if train != data else "") / label
        target.mkdir(parents=True)
        for file in files:
            shutil.copyfile(file, target / file.name)
    if train != data:
        shutil.copytree(data / "test", first / "test")
    hold_out, traffic = HoldOut(aside), None
    weeks = [] if arguments.new_class else make_weeks(pool, arguments.first, arguments.weeks)
    if arguments.new_class:
        events = Events(arguments.new_class)
        spoil(first, events)
        weeks = eventful_weeks(pool, arguments.first, arguments.weeks, arguments.every, events)
        traffic = Traffic(hold_out, events, arguments.work / "camera")
    root = fresh_copy(home, arguments.work / "project")
    project = Project(root.resolve())
    cold_cache(home.cache, root / ".graft" / "cache")
    configure_anew(project)
    name = data.parent.name if data.name == "data" else data.name
    command = [sys.executable, "-c", RUN, "data", "import", str(first), "--name", name]
    subprocess.run(command, cwd=root, check=True, stdout=subprocess.DEVNULL)
    changes = {**SETTINGS, "split.group_by": arguments.group_by}
    changes |= settings() if traffic else {}
    changes |= dict(text.split("=", 1) for text in arguments.set)
    change_params(project, changes)
    commit(root, "The year begins")
    return project, weeks, hold_out, traffic


def run_year(
    project: Project,
    weeks: list[Week],
    work: Path,
    chance: random.Random,
    hold_out: HoldOut,
    traffic: Traffic | None = None,
) -> list[Seen]:
    """Deliver week after week to a schedule that is at work, and record what came of it."""
    rows: list[Seen] = []
    bad: set[str] = set()
    with scheduled(project):
        wait_for_runs(project, 1)  # the first one trains the first champion
        test = test_images(project)
        rows.append(look(project, Week(-1, "the beginning", {}), test, bad, outcomes(project)[-1:], hold_out, traffic))
        report(rows[-1])
        for week in weeks:
            before = len(outcomes(project))
            for name, delivery in week.deliveries.items():
                if week.kind in ("mislabelled", "unknown class", "corrupt"):
                    bad |= {hashlib.sha256(content).hexdigest() for content in delivery.values()}
                put(delivery, work / "delivery", inbox_of(project), name)
            if week.kind == "killed":
                kill_a_run(project, chance)
            wanted = set(week.deliveries)
            if wanted or traffic is None:
                wait_for_deliveries(project, before, wanted)
            if traffic is not None and week.number + 1 == WITHDRAWAL:
                test -= {hashlib.sha256(data).hexdigest() for data in traffic.withdrawn}
            rows.append(look(project, week, test, bad, outcomes(project)[before:], hold_out, traffic))
            test |= test_images(project)  # it may grow, and what is in it stays
            report(rows[-1])
            write(rows, work)
    print(as_table(rows))
    draw(rows, work / "year.png")
    return rows


@contextlib.contextmanager
def scheduled(project: Project) -> Iterator[None]:
    """Run `graft schedule` with its own Prefect server, until the block ends."""
    log = (project.state / "schedule.log").open("wb")
    command = [sys.executable, "-c", RUN, "schedule", "--every", str(EVERY_SECONDS)]
    process = subprocess.Popen(command, cwd=project.root, stdout=log, stderr=subprocess.STDOUT)
    try:
        yield
        if process.poll() is not None:
            raise RuntimeError(f"graft schedule ended with {process.returncode}: see {log.name}")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(300)  # a run that is under way ends first
        log.close()


def wait_for_runs(project: Project, count: int) -> None:
    """Wait until so many runs are in the project's history."""
    wait_until(lambda: len(outcomes(project)) >= count, f"{count} runs")


def wait_for_deliveries(project: Project, since: int, names: set[str]) -> None:
    """Wait until a run has dealt with each of these deliveries, or, without any, one more run has ended."""

    def dealt_with() -> bool:
        ended = outcomes(project)[since:]
        told = {one["name"] for outcome in ended for one in outcome["deliveries"]}
        return bool(ended) and names <= told and not under_way(project)

    wait_until(dealt_with, f"{', '.join(sorted(names)) or 'a run'}")


def wait_until(condition: Any, what: str) -> None:
    deadline = time.monotonic() + LIMIT_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"Waited {LIMIT_SECONDS:.0f} s for {what}")
        time.sleep(0.5)


def kill_a_run(project: Project, chance: random.Random) -> None:
    """Kill the next run that has begun to change something, some moments later."""
    import psutil

    wait_until(lambda: under_way(project), "a run to begin its work")
    time.sleep(chance.uniform(0, 15))
    for process in psutil.process_iter(["cmdline", "cwd", "environ"]):
        command = " ".join(process.info["cmdline"] or [])
        mine = (process.info["cwd"] or "").startswith(str(project.root))
        if mine and ("prefect" in command and "schedule" not in command and "server" not in command):
            process.kill()


def under_way(project: Project) -> bool:
    from graft.automation.retraining.workspace import left_behind

    return bool(left_behind(project))


def look(
    project: Project,
    week: Week,
    test: set[str],
    bad: set[str],
    ended: list[dict[str, Any]],
    hold_out: HoldOut,
    traffic: Traffic | None = None,
) -> Seen:
    """Return what a week came to, from the project itself."""
    tables = {name: split_images(project, name) for name in ("train", "val", "test")}
    line = line_of(project)
    told = [one for outcome in ended for one in outcome["deliveries"]]
    refused = [outcome["refused"] for outcome in ended if outcome["refused"]]
    event = ", ".join(dict.fromkeys(event for outcome in ended for event in outcome["events"] if event != "nothing"))
    verdict = ", ".join(dict.fromkeys(one["verdict"] for one in told)) or ("" if event else "nothing to do")
    why = " ".join(reason for one in told for reason in one["reasons"]) or "; ".join(
        rule for rules in refused for rule in rules
    )
    in_data = {hashlib.sha256(path.read_bytes()).hexdigest() for path in project.data.rglob("*") if path.is_file()}
    champions = [alias for alias in line.aliases if alias == "champion"]
    judged = [outcome for outcome in ended if "challenger" in outcome["figures"]]
    classes = traffic.classes(week.number + 1) if traffic else None
    promised, right = (
        traffic.ask(project, line.model, line.champion or "", week.number + 1)
        if traffic and week.number >= 0
        else (float("nan"),) * 2
    )
    left = places_left(project, traffic.withdrawn) if traffic and week.number + 1 >= WITHDRAWAL and judged else 0
    return Seen(
        week=week.number + 1,
        kind=week.kind,
        verdict=verdict,
        why=why,
        train=len(tables["train"]),
        val=len(tables["val"]),
        test=len(tables["test"]),
        test_moved=len(test - tables["test"]) + len(test & (tables["train"] | tables["val"])),
        bad_in_data=len(bad & in_data),
        champions=len(champions),
        champion=line.champion or "",
        accuracy=accuracy_of(line),
        event=event,
        seconds=sum(outcome["seconds"] for outcome in ended),
        challenger=float(judged[-1]["figures"]["challenger"]["accuracy"]) if judged else float("nan"),
        aside=hold_out.accuracy(project, line.model, line.champion or "", classes),
        challenger_aside=hold_out.accuracy(project, line.model, judged[-1]["version"] if judged else "", classes),
        expected=promised,
        measured=right,
        left=left,
    )


def outcomes(project: Project) -> list[dict[str, Any]]:
    """Return all runs that have ended, the first one first."""
    path = project.retraining / "history.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []


def split_images(project: Project, split: str) -> set[str]:
    from graft.data.splits.split_tables import read_split_table

    return set(read_split_table(project.split_table(split))["sha256"])


def test_images(project: Project) -> set[str]:
    return split_images(project, "test")


def line_of(project: Project) -> Any:
    from graft.core.params import load_params
    from graft.registry.aliases import registered_name
    from graft.registry.promotion.promote import open_registry

    params = load_params(project.params_file)
    return open_registry(project, registered_name(project, params.register_)).line()


def accuracy_of(line: Any) -> float:
    """Return the accuracy of the present champion, as its entry has it; nan where there is none."""
    for entry in reversed(line.entries):
        if entry.version == line.champion:
            return float(entry.figures.get("accuracy", "nan"))
    return float("nan")


def inbox_of(project: Project) -> Path:
    return project.root / "inbox"


def configure_anew(project: Project) -> None:
    """Remove settings of another project from this process' environment, which must not lead there."""
    for name in (
        "PREFECT_HOME",
        "PREFECT_API_URL",
        "KERAS_HOME",
        "TFHUB_CACHE_DIR",
        "MLFLOW_TRACKING_URI",
        "GRAFT_CACHE",
    ):
        os.environ.pop(name, None)
    os.environ["PYTHONPATH"] = os.pathsep.join([str(project.root / "src"), str(project.root)])
    configure(project)


def _shuffled(path: Path) -> str:
    return hashlib.sha256(path.name.encode()).hexdigest()


if __name__ == "__main__":
    main()
