"""Changes the champion in a process of its own: ``python promoter.py PROJECT COMMAND [ARGUMENT...]``.

race FIRST SECOND TIMES     promotes the two versions in turns, as often
kill ACTION STEP            promotes version 2, or rolls back, and dies by SIGKILL before that step (from 0)
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from graft.errors import GraftError
from graft.project import Project
from graft.promotion import promote as module
from graft.promotion.change import Registry, change_steps
from graft.promotion.line import Entry
from graft.promotion.promote import open_registry, promote, roll_back


def race(registry: Registry, first: str, second: str, times: str) -> None:
    for turn in range(int(times)):
        try:
            promote(registry, (first, second)[turn % 2], "a race", forced=True)
        except GraftError as error:
            # The other process may just have promoted the same version.
            if "is champion already" not in str(error):
                raise
    print("finished")


def kill(registry: Registry, action: str, step: str) -> None:
    def die_before(registry: Registry, entry: Entry) -> list[Callable[[], None]]:
        steps = change_steps(registry, entry)
        steps.insert(int(step), lambda: os.kill(os.getpid(), signal.SIGKILL))
        return steps

    module.change_steps = die_before
    if action == "promote":
        promote(registry, "2", "about to be killed", forced=True)
    else:
        roll_back(registry, "about to be killed")


if __name__ == "__main__":
    folder, command, *arguments = sys.argv[1:]
    {"race": race, "kill": kill}[command](open_registry(Project(Path(folder)), "tints"), *arguments)
