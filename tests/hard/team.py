"""Part ``team`` of `make hard`: what several people share, for minutes, while parts of it go away.

MLflow's server on PostgreSQL with its files in an object store, all on loopback (tests/services.py). Twenty writers
write runs with figures, tags and a file, and all of it is read back at the end, while the database is stopped and
started every twenty seconds, or the object store is away for a minute; and promoters of two machines race.

    make hard ONLY=team MINUTES=5
"""

import contextlib
import itertools
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from rows import Row
from services import BUCKET, ObjectStore, PostgreSQL, mlflow_server, object_store, postgresql
from writers import write_all

PROMOTER = Path(__file__).resolve().parents[1] / "registry" / "promotion" / "promoter.py"
WRITERS, PROMOTERS = 20, 8
DOWN_SECONDS, BETWEEN_SECONDS, AWAY_SECONDS = 3.0, 20.0, 60.0


def run(minutes: float, only: list[str]) -> Iterator[Row]:
    """Run the cases, each for about so many minutes."""
    cases: dict[str, Callable[[str, PostgreSQL, ObjectStore, float], Row]] = {
        "database": _database_restarted,
        "files": _files_away,
        "promotions": _promotions,
    }
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # as commands have it: its thread changes the environment meanwhile
    with postgresql() as database, object_store() as store:
        uri = database.database("mlflow")
        with mlflow_server(uri, f"s3://{BUCKET}/mlflow", store.settings) as mlflow:
            for name in only or cases:
                yield cases[name](mlflow.address, database, store, minutes)


def _written(name: str, server: str, disturb: Callable[[threading.Event], int], minutes: float) -> Row:
    ended, counts = threading.Event(), []
    timer = threading.Timer(60 * minutes, ended.set)
    disturber = threading.Thread(target=lambda: counts.append(disturb(ended)))
    timer.start()
    disturber.start()
    found = write_all(server, WRITERS, ended, pause=0.2)
    disturber.join()
    timer.cancel()
    cells: dict[str, str | int | float] = {
        "what": name,
        "writers": WRITERS,
        "runs": found.runs,
        "with their file": found.files,
        "times away": counts[0],
        "slowest run s": round(found.slowest, 1),
        "lost or wrong": len(found.problems),
    }
    for problem in found.problems[:5]:
        print(problem, file=sys.stderr)
    return Row(cells, not found.problems and found.files == found.runs >= WRITERS)


def _database_restarted(server: str, database: PostgreSQL, _: ObjectStore, minutes: float) -> Row:
    def disturb(ended: threading.Event) -> int:
        times = 0
        while not ended.wait(BETWEEN_SECONDS):
            database.stop()
            time.sleep(DOWN_SECONDS)
            database.start()
            times += 1
        return times

    return _written(f"database away for {DOWN_SECONDS:g} s, again and again", server, disturb, minutes)


def _files_away(server: str, _: PostgreSQL, store: ObjectStore, minutes: float) -> Row:
    def disturb(ended: threading.Event) -> int:
        ended.wait(5)
        store.stop()
        time.sleep(AWAY_SECONDS)
        store.start()
        return 1

    return _written(f"object store away for {AWAY_SECONDS:g} s", server, disturb, minutes)


def _promotions(server: str, database: PostgreSQL, _: ObjectStore, minutes: float) -> Row:
    sys.path.insert(0, str(PROMOTER.parent))
    with tempfile.TemporaryDirectory() as folder, _environment(GRAFT_TEST_STORE=server):
        from promoter import opened

        from graft.registry.promotion.promote import promote

        registry = opened(Path(folder) / "onlooker")
        registry.client.create_registered_model(registry.model)
        for number in range(3):
            registry.client.create_model_version(registry.model, f"s3://{BUCKET}/nowhere/{number}")
        promote(registry, "1", "the first", forced=True)
        times = str(max(2, round(3 * minutes)))
        racers = [
            subprocess.Popen(
                [sys.executable, str(PROMOTER), "race", str(Path(folder) / f"machine {number % 2}"), *order, times],
                stdout=subprocess.PIPE,
                text=True,
            )
            for number, order in enumerate([("2", "3"), ("3", "2")] * (PROMOTERS // 2))
        ]
        done = [int(racer.communicate()[0] or -1) for racer in racers]
        line = registry.line()
    entries = line.entries
    unseen = sum(entry.before != earlier.version for earlier, entry in itertools.pairwise(entries))
    lost = 1 + sum(done) - len(entries)
    is_good = not (unseen or lost or line.changing) and -1 not in done and line.champion == entries[-1].version
    cells: dict[str, str | int | float] = {
        "what": f"{PROMOTERS} promoters of two machines",
        "writers": PROMOTERS,
        "runs": len(entries) - 1,
        "with their file": "",
        "times away": 0,
        "slowest run s": "",
        "lost or wrong": unseen + abs(lost),
    }
    return Row(cells, is_good)


@contextlib.contextmanager
def _environment(**settings: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})
