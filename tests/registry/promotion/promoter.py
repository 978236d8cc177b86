"""Changes the champion in processes of its own: ``python promoter.py COMMAND [ARGUMENT...]``.

    race FOLDER FIRST SECOND TIMES   promotes the two versions in turns, as often, and prints how often it came to it
    kills ACTION FOLDER...           in a process for each project promotes version 2, or rolls back, and dies by
                                     SIGKILL: in the first project before the first write, and so on; prints each write
    storm FOLDER ROUNDS SEED         in each round, kills a process that promotes and rolls back without end, at a write
                                     and a moment in it that chance picks; then another settles what it left, and
                                     prints the line

A write is whatever the change asks MLflow to store. Processes are forked before the database is opened, as its
connections may not be shared.
"""

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# What takes a second to import is there before the processes are forked.
import mlflow.store.model_registry.sqlalchemy_store
import mlflow.store.tracking.sqlalchemy_store  # noqa: F401

from graft.core.errors import GraftError
from graft.core.project import Project
from graft.registry.promotion import change_champion as change
from graft.registry.promotion.change_champion import Registry, complete_interrupted
from graft.registry.promotion.promote import open_registry, promote, roll_back

MODEL = "tints"
WRITES = (
    "set_registered_model_tag",
    "delete_registered_model_tag",
    "set_registered_model_alias",
    "delete_registered_model_alias",
    "set_model_version_tag",
)


def opened(folder: str | Path) -> Registry:
    # MLflow leaves the store it used last in the environment, for the processes that this one starts.
    if "GRAFT_TEST_STORE" in os.environ:
        os.environ["MLFLOW_TRACKING_URI"] = os.environ["GRAFT_TEST_STORE"]
    else:
        os.environ.pop("MLFLOW_TRACKING_URI", None)
    return open_registry(Project(Path(folder)), MODEL)


def before_each_write(registry: Registry, call: Callable[[str, tuple[Any, ...]], None]) -> None:
    """Has ``call`` called with the name of each write and its arguments, before it is made."""

    def wrapped(name: str, write: Callable[..., Any]) -> Callable[..., Any]:
        def call_and_write(*arguments: Any) -> Any:
            call(name, arguments)
            return write(*arguments)

        return call_and_write

    for name in WRITES:
        setattr(registry.client, name, wrapped(name, getattr(registry.client, name)))


def race(folder: str, first: str, second: str, times: str) -> None:
    registry = opened(folder)
    done = 0
    for turn in range(int(times)):
        try:
            promote(registry, (first, second)[turn % 2], "a race", forced=True)
            done += 1
        except GraftError as error:
            # Another process may just have promoted the same version, or have been busy for long.
            if not any(words in str(error) for words in ("is champion already", "Another process has been changing")):
                raise
    print(done)


def kills(action: str, *folders: str) -> None:
    for number, folder in enumerate(folders):
        pid = os.fork()
        if pid == 0:
            registry = opened(folder)
            writes: list[str] = []

            def die(name: str, arguments: tuple[Any, ...], number: int = number, writes: list[str] = writes) -> None:
                if len(writes) == number:
                    print(json.dumps([name, *map(str, arguments)]), flush=True)
                    os.kill(os.getpid(), signal.SIGKILL)
                writes.append(name)

            before_each_write(registry, die)
            if action == "promote":
                promote(registry, "2", "about to be killed", forced=True)
            else:
                roll_back(registry, "about to be killed")
            print(json.dumps(["the end"]), flush=True)
            os._exit(0)
        os.waitpid(pid, 0)


def storm(folder: str, rounds: str, seed: str) -> None:
    chance = random.Random(int(seed))
    for _ in range(int(rounds)):
        ready, tell = os.pipe()
        pid = os.fork()
        if pid == 0:
            _change_without_end(folder, tell)
        os.close(tell)  # so that a process that ends by itself is not waited for
        # A change has ten writes: somewhere within the first or the second, and within a write or between two.
        for _ in range(chance.randint(1, 20)):
            os.read(ready, 1)
        time.sleep(chance.uniform(0, 0.03))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(ready)
        pid = os.fork()
        if pid == 0:
            _report(folder)
        os.waitpid(pid, 0)


def _change_without_end(folder: str, tell: int) -> None:
    registry = opened(folder)
    before_each_write(registry, lambda *_: os.write(tell, b".") and None)
    turn = len(registry.line().entries)
    while True:
        turn += 1
        champion = registry.line().champion
        try:
            if turn % 3 == 0 and registry.line().previous:
                roll_back(registry, "a storm")
            else:
                promote(registry, "2" if champion != "2" else "3", "a storm", forced=True)
        except GraftError as error:
            if "took too long" not in str(error):  # on a machine that is very busy
                raise


def _report(folder: str) -> None:
    registry = opened(folder)
    change.PATIENCE = 0.0  # whoever held the lock is dead
    found = registry.line()
    line, notes = complete_interrupted(registry)
    state = {
        "champion_found": found.champion,
        "changing_found": len(found.changing),
        "champion": line.champion,
        "previous": line.previous,
        "stack": line.stack(),
        "changing": len(registry.line().changing),
        "notes": notes,
        "entries": len(line.entries),
    }
    print(json.dumps(state), flush=True)
    os._exit(0)


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    {"race": race, "kills": kills, "storm": storm}[command](*arguments)
