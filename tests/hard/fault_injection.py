"""Faults at the level of system calls: ``fault.c``, compiled and preloaded, and the state it shares with the draws.

The N-th call that writes below a folder (open for writing, write, fsync, rename, link, unlink, mkdir, truncate, chmod)
fails once, in whatever process of a draw it comes: the command itself, git, DVC. In place of an error a signal may come
to all of them, just before that call: the disk changes at these calls alone, so that they are all the moments there are
at which an end could matter.
"""

import ctypes
import mmap
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

MEMORY_BYTES = 2 * 1024**3  # draws take a tenth of it at a time
HERE = Path(__file__).resolve().parent
STATE, LIBRARY = "GRAFT_FAULT_STATE", "GRAFT_FAULT_LIBRARY"
LEFT_OUT = "stand-in"  # files of the suites' own stand-ins, whose writing is not graft's


class State(ctypes.Structure):
    """The ``struct state`` of fault.c."""

    _fields_ = [
        ("armed", ctypes.c_int32),
        ("error", ctypes.c_int32),
        ("signal", ctypes.c_int32),
        ("hit", ctypes.c_int32),
        ("count", ctypes.c_int64),
        ("at", ctypes.c_int64),
        ("folder", ctypes.c_char * 1024),
        ("left_out", ctypes.c_char * 64),
        ("what", ctypes.c_char * 1024),
    ]


def compiler() -> str | None:
    """Return a C compiler of this machine, None where there is none or it makes nothing that can be preloaded."""
    return (shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")) if sys.platform == "linux" else None


def preloaded_again(folder: Path) -> None:
    """Compile the library into ``folder`` and start this process anew with it, unless that has been done."""
    if STATE in os.environ:
        return
    library, state = folder / "fault.so", folder / "state"
    found = compiler()
    if found is None:
        raise SystemExit("Needs a C compiler on Linux")
    subprocess.run([found, "-O2", "-shared", "-fPIC", "-o", library, HERE / "fault.c", "-ldl"], check=True)
    state.write_bytes(bytes(ctypes.sizeof(State)))
    environment = {**os.environ, STATE: str(state), "LD_PRELOAD": str(library)}
    os.execve(sys.executable, [sys.executable, *sys.argv], environment)


class Faults:
    """The faults of this process and all that it starts; one draw at a time."""

    def __init__(self) -> None:
        with open(os.environ[STATE], "r+b") as file:  # noqa: PTH123
            self._memory = mmap.mmap(file.fileno(), ctypes.sizeof(State))
        self._state = State.from_buffer(self._memory)

    def arm(self, folder: Path, at: int = 0, error: int = 0, signal: int = 0) -> None:
        """Have call number ``at`` below ``folder`` fail; with 0, calls are counted alone."""
        state = self._state
        state.armed = 0
        state.error, state.signal, state.hit, state.count, state.at, state.what = error, signal, 0, 0, at, b""
        state.folder, state.left_out = os.fsencode(folder.resolve()), LEFT_OUT.encode()
        state.armed = 1

    def disarm(self) -> None:
        """Let all calls pass, and count no more."""
        self._state.armed = 0

    @property
    def count(self) -> int:
        """Calls below the folder so far."""
        return int(self._state.count)

    @property
    def what(self) -> str:
        """The call that failed, and its path below the folder; ``""`` where it did not come to it."""
        return self._state.what.decode(errors="replace") if self._state.hit else ""


def own_folder(name: str) -> Path:
    """Return a folder for this process's draws, which the process after :func:`preloaded_again` finds again."""
    memory = Path("/dev/shm")
    where = memory if memory.is_dir() and shutil.disk_usage(memory).free > MEMORY_BYTES else None
    folder = Path(os.environ.get(LIBRARY) or tempfile.mkdtemp(prefix=f"graft-{name}-", dir=where))
    os.environ[LIBRARY] = str(folder)
    return folder
