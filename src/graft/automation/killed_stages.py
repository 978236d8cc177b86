"""Explain stages that were killed: a process that the system ends for want of memory says nothing itself.

A stage leaves a file while it is at work. One whose process is gone was ended from outside, or crashed.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import psutil

from graft.core.errors import GraftError
from graft.core.files import write_file
from graft.core.project import Project
from graft.core.quotas import cores, memory_limit

# What takes the memory of a stage, as settings of params.yaml.
_LOWER = {
    "validate": "validate.max_pixels",
    "split": "validate.max_pixels",
    "choose": "choose.max_images, or choose.quality",
    "train": "batch_size or image_size of that strategy",
    "ensemble": "the number of the ensemble's members",
    "evaluate": "image_size of the strategies, or the number of an ensemble's members",
}


@contextlib.contextmanager
def at_work(project: Project, stage: str) -> Iterator[None]:
    """Leave word of a stage, as DVC names it, for as long as the block takes."""
    path = _folder(project) / str(os.getpid())
    with contextlib.suppress(OSError):  # a full disk is for the stage itself to report
        write_file(path, stage)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink()


def forget_killed(project: Project) -> list[str]:
    """Return the stages that were at work and whose processes are gone, and remove word of them."""
    gone = []
    for path in sorted(_folder(project).glob("[0-9]*")):
        if not psutil.pid_exists(int(path.name)):
            with contextlib.suppress(OSError):
                gone.append(path.read_text(encoding="utf-8"))
                path.unlink()
    return gone


def killed_error(stage: str, out_of_memory: bool) -> GraftError:
    """Return what to say of a stage that was killed.

    Args:
        stage: as DVC names it.
        out_of_memory: whether the system says that it has ended a process of this container for that reason.
    """
    machine = memory_limit() or psutil.virtual_memory().total
    memory = f"{machine / 1024**3:.1f} GiB of memory, {cores()} cores"
    if out_of_memory:
        what = f"Stage {stage} was killed because memory ran out ({memory})"
    else:
        what = (
            f"Stage {stage} was ended from outside or crashed; where DVC names the code -9 above, it was killed, most "
            f"often because memory ran out ({memory})"
        )
    lower = _LOWER.get(stage.partition("@")[0])
    fix = f"Lower {lower} in params.yaml, or give" if lower else "Give"
    return GraftError(
        what, f"{fix} it more memory; what was done before it is kept, and the same command goes on there"
    )


def _folder(project: Project) -> Path:
    return project.state / "running"
