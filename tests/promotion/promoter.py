"""Changes the champion in processes of its own: ``python promoter.py COMMAND [ARGUMENT...]``.

    race FOLDER FIRST SECOND TIMES   promotes the two versions in turns, as often
    kills ACTION FOLDER...           in a process for each project promotes version 2, or rolls back, and dies by
                                     SIGKILL: in the first project before the first step, and so on
    storm FOLDER ROUNDS SEED         in each round, kills a process that promotes and rolls back without end, at a step
                                     and a moment in it that chance picks; then another settles what it left, and
                                     prints the line

Processes are forked before the database is opened, as its connections may not be shared.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

# What takes a second to import is there before the processes are forked.
import mlflow.store.model_registry.sqlalchemy_store
import mlflow.store.tracking.sqlalchemy_store  # noqa: F401

from graft.errors import GraftError
from graft.project import Project
from graft.promotion import promote as module
from graft.promotion.change import Registry, change_steps, settle
from graft.promotion.line import Entry
from graft.promotion.promote import open_registry, promote, roll_back

MODEL = "tints"


def opened(folder: str | Path) -> Registry:
    # MLflow leaves the store it used last in the environment, for the processes that this one starts.
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    return open_registry(Project(Path(folder)), MODEL)


def race(folder: str, first: str, second: str, times: str) -> None:
    registry = opened(folder)
    for turn in range(int(times)):
        try:
            promote(registry, (first, second)[turn % 2], "a race", forced=True)
        except GraftError as error:
            # The other process may just have promoted the same version.
            if "is champion already" not in str(error):
                raise
        time.sleep(
            0.02
        )  # a lock is not fair: whoever gives it back would have it again before the other looks
    print("finished")


def kills(action: str, *folders: str) -> None:
    for step, folder in enumerate(folders):
        pid = os.fork()
        if pid == 0:
            _die_before(step)
            registry = opened(folder)
            if action == "promote":
                promote(registry, "2", "about to be killed", forced=True)
            else:
                roll_back(registry, "about to be killed")
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        print(step, os.WTERMSIG(status) if os.WIFSIGNALED(status) else "ended")


def storm(folder: str, rounds: str, seed: str) -> None:
    chance = random.Random(int(seed))
    for _ in range(int(rounds)):
        ready, tell = os.pipe()
        pid = os.fork()
        if pid == 0:
            _change_without_end(folder, tell)
        # A change has six steps: somewhere within the first or the second, and within a step rather than between two.
        for _ in range(chance.randint(1, 12)):
            os.read(ready, 1)
        time.sleep(chance.uniform(0, 0.03))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        pid = os.fork()
        if pid == 0:
            _report(folder)
        os.waitpid(pid, 0)


def _change_without_end(folder: str, tell: int) -> None:
    def told_steps(registry: Registry, entry: Entry) -> list[Callable[[], None]]:
        return [telling(step) for step in change_steps(registry, entry)]

    def telling(step: Callable[[], None]) -> Callable[[], None]:
        def tell_and_go() -> None:
            os.write(tell, b".")
            step()

        return tell_and_go

    module.change_steps = told_steps
    registry = opened(folder)
    turn = len(registry.line().entries)
    while True:
        turn += 1
        champion = registry.line().champion
        if turn % 3 == 0 and registry.line().previous:
            roll_back(registry, "a storm")
        else:
            promote(registry, "2" if champion != "2" else "3", "a storm", forced=True)


def _report(folder: str) -> None:
    registry = opened(folder)
    found = registry.line()
    with registry.locked():
        line, notes = settle(registry)
    state = {
        "champion_found": found.champion,
        "begun_found": len(found.begun),
        "champion": line.champion,
        "previous": line.previous,
        "stack": line.stack(),
        "begun": len(line.begun),
        "notes": notes,
        "entries": len(line.entries),
    }
    print(json.dumps(state), flush=True)
    os._exit(0)


def _die_before(step: int) -> None:
    def steps_with_death(registry: Registry, entry: Entry) -> list[Callable[[], None]]:
        steps = change_steps(registry, entry)
        steps.insert(step, lambda: os.kill(os.getpid(), signal.SIGKILL))
        return steps

    module.change_steps = steps_with_death


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    {"race": race, "kills": kills, "storm": storm}[command](*arguments)
