"""Moving a project's files from where older versions kept them, all in ``.graft``, into ``cache`` and ``state``.

Each thing is moved by one rename, so that a kill leaves it in one of the two places; the next command goes on.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from graft.core.errors import GraftError

if TYPE_CHECKING:
    from graft.core.project import Project

CACHES = ("scan.sqlite", "timings", "inspect", "advice", "models")
STATE = (
    *("checkpoints", "sweeps", "replaced", "staging", "prefect", "monitor", "predictions", "retrain"),
    *("schedule.json", "mlflow-server.log"),
)
LOCKS = ("project.lock", "data.lock", "promotion.lock", "mlflow.lock", "schedule.lock")
PATIENCE_SECONDS = 10.0


def move_old_layout(project: Project) -> None:
    """Move what lies directly in the project's ``.graft``; where nothing does, only its names are listed.

    What is there in both places stays in both: the older one has come back after it was moved.

    Raises:
        GraftError: a command of an older version is at work, or the files cannot be moved.
    """
    folder = project.state.parent
    try:
        found = {path.name for path in folder.iterdir()}
    except OSError:  # missing, or not to be read: what needs it says so
        return
    targets = dict.fromkeys(CACHES, project.own_cache) | dict.fromkeys(STATE, project.state)
    moves = {folder / name: targets[name] / name for name in sorted(found & set(targets))}
    moves = {old: new for old, new in moves.items() if not new.exists()}
    if not moves:
        return
    from graft.core.lock import locked

    with contextlib.ExitStack() as stack:
        for name in sorted(found & set(LOCKS)):
            busy = f"A command of an older version of graft is at work in {project.home}"
            stack.enter_context(locked(folder / name, busy, "End it first", wait_seconds=PATIENCE_SECONDS))
        try:
            for old, new in moves.items():
                new.parent.mkdir(parents=True, exist_ok=True)
                with contextlib.suppress(FileNotFoundError):  # another command has moved it meanwhile
                    old.rename(new)
            for name in found & set(LOCKS):
                (folder / name).unlink(missing_ok=True)
        except OSError as error:
            raise GraftError(
                f"{old} cannot be moved to {new}: {error.strerror}", "Move it by hand, or make it writable"
            ) from None
