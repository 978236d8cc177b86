"""Find out which cores and memory this process may use, by affinity and by the quotas of a container.

Linux counts the host's cores wherever it is asked for them; a container's share stands in control groups
(https://docs.kernel.org/admin-guide/cgroup-v2.html, and cgroup-v1/ there). A group's limit binds all groups below it.
"""

import contextlib
import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_ROOT = Path("/")  # tests have another
# What libraries look at before they start a thread for each core of the host: TensorFlow, BLAS, Arrow.
THREAD_VARIABLES = (
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_MAX_THREADS",
)


def cores(root: Path = _ROOT) -> int:
    """Return how many threads can work at a time in this process, at least 1; a part of a core counts as one."""
    available = _available()
    quota = _quota(root)
    return available if quota is None else max(1, min(available, math.ceil(quota)))


def fewer_cores(root: Path = _ROOT) -> int | None:
    """Return :func:`cores` where a quota makes them fewer than libraries take by themselves, else None."""
    found = cores(root)
    return found if found < _available() else None


def memory_limit(root: Path = _ROOT) -> int | None:
    """Return the bytes of memory that this process's container may take, None where nothing limits them."""
    found = [
        int(text)
        for name, group in (("memory.max", ""), ("memory.limit_in_bytes", "memory"))
        for text in _values(root, group, name)
        if text.isdecimal() and int(text) < 1 << 60  # version 1 says "none" as the largest number of pages
    ]
    return min(found, default=None)


def memory_kills(root: Path = _ROOT) -> int:
    """Return how many processes of this container the system has ended because its memory was full."""
    counts = [0]
    for name, group in (("memory.events", ""), ("memory.oom_control", "memory")):
        for text in _values(root, group, name):
            pairs = (line.split() for line in text.splitlines())
            counts += [int(pair[1]) for pair in pairs if len(pair) == 2 and pair[0] == "oom_kill"]
    return max(counts)


def _available() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _quota(root: Path) -> float | None:
    found = []
    for text in _values(root, "", "cpu.max"):  # "150000 100000", or "max 100000"
        quota, _, period = text.partition(" ")
        if quota.isdecimal() and period.isdecimal():
            found.append(int(quota) / int(period))
    quotas, periods = (list(_values(root, "cpu", f"cpu.cfs_{what}_us")) for what in ("quota", "period"))
    for quota, period in zip(quotas, periods, strict=False):  # -1: none
        if quota.isdecimal() and period.isdecimal():
            found.append(int(quota) / int(period))
    return min(found, default=None)


def _values(root: Path, controller: str, name: str) -> Iterator[str]:
    """Yield what a file says in this process's group and those above it; nothing on other systems.

    Args:
        controller: of version 1; ``""`` for version 2, which has one hierarchy for all.
    """
    for folder, top in _groups(root, controller):
        while folder.is_relative_to(top):
            text = ""
            with contextlib.suppress(OSError, UnicodeDecodeError):  # a top has no limits, and others may not be seen
                text = (folder / name).read_text().strip()
            if text:
                yield text
            folder = folder.parent


def _groups(root: Path, controller: str) -> Iterator[tuple[Path, Path]]:
    """Yield this process's group as a folder, and the folder where its hierarchy is mounted."""
    try:
        mine = (root / "proc/self/cgroup").read_text().splitlines()
        mounts = (root / "proc/self/mountinfo").read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return
    paths = [path for _, names, path in (line.split(":", 2) for line in mine) if controller in names.split(",")]
    for line in mounts:  # ... ROOT PLACE OPTIONS ... - TYPE SOURCE OPTIONS
        before, _, after = line.partition(" - ")
        kind, *_, options = after.split()
        is_this = kind == "cgroup" and controller in options.split(",") if controller else kind == "cgroup2"
        if not (is_this and paths):
            continue
        mounted, place = before.split()[3:5]
        top, path = root / place.lstrip("/"), PurePosixPath(paths[0])
        # In a container the mount may begin at its own group, whose name it does not know.
        below = path.relative_to(mounted) if path.is_relative_to(mounted) else PurePosixPath()
        yield (top if ".." in below.parts else top / below), top
        return
