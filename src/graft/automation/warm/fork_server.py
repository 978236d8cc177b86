"""The process that imports the stages' libraries once and forks a child for each stage, see
:mod:`graft.automation.warm`.

    python -m graft.automation.warm.fork_server DESCRIPTOR

It takes clients from the listening socket DESCRIPTOR, and ends when its standard input is closed, which happens when
`graft run` ends, however that comes about. One thread does everything; requests wait while a library is imported.
"""

import contextlib
import gc
import importlib
import json
import os
import re
import runpy
import selectors
import signal
import socket
import sys
import threading
import time
import traceback
from collections import deque
from pathlib import Path
from typing import Any, NamedTuple

from graft.automation.warm import VARIABLE

PREFECT = ("prefect", "prefect.flow_engine", "prefect.task_engine", "prefect.server.schemas")
TABLES = ("pandas", "pyarrow.parquet", "scipy.sparse.csgraph")
CHECKS = ("great_expectations", "great_expectations.expectations.expectation", "matplotlib.figure")
TRACKING = ("mlflow", "mlflow.pyfunc", "mlflow.store.tracking.sqlalchemy_store")
NETWORKS = ("tensorflow", "keras")
# What a stage waits for; others are imported when there is nothing else to do, in the order of the pipeline.
OF_STAGES = {
    "pipelines.validate": PREFECT + TABLES + CHECKS,
    "pipelines.split": PREFECT + TABLES + CHECKS,
    "pipelines.register": PREFECT + TABLES + TRACKING,
}
ALL = PREFECT + TABLES + CHECKS + TRACKING + NETWORKS
OF_OTHER_STAGES = PREFECT + TABLES + TRACKING + NETWORKS

# Devices whose drivers TensorFlow might wake at its import: NVIDIA's, AMD's, either's under WSL.
GPU_DEVICES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
# What DVC and the shell set for each stage anew, and no library reads at its import.
MAY_DIFFER = re.compile(r"DVC_.*|PATH|PWD|OLDPWD|SHLVL|_")

REQUEST_BYTES = 1 << 22  # more than a Unix socket passes in one message
STANDARD_STREAMS = 3


class Running(NamedTuple):
    """A child at work: its id, its pidfd, and the connection of the client that waits for it."""

    pid: int
    pidfd: int
    client: socket.socket


class Stage(NamedTuple):
    """What a child is to run: the client's request, its standard streams, and its process id."""

    request: dict[str, Any]
    streams: list[int]
    client_pid: int


class StageServer:
    """Imports libraries, and forks where a client asks for it.

    Args:
        lifeline: a descriptor whose end means that the server is to end.
        libraries: to import, in this order, as time allows.
    """

    def __init__(self, listener: socket.socket, lifeline: int, libraries: tuple[str, ...] = ALL) -> None:
        self._listener = listener
        self._lifeline = lifeline
        self._libraries = deque(libraries)
        self._known = frozenset(libraries)
        self._environment = dict(os.environ)
        self._children: dict[int, Running] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ)
        self._selector.register(lifeline, selectors.EVENT_READ)

    def serve(self) -> Stage | None:
        """Work until the lifeline ends, and return None then; in a forked child, return the stage that it is to run."""
        while True:
            for key, _ in self._selector.select(0 if self._libraries else None):
                if key.fileobj == self._lifeline:
                    return None
                if key.fileobj is self._listener:
                    stage = self._accept()
                    if stage is not None:
                        return stage
                elif key.data in self._children:
                    self._end_child(self._children[key.data], ended=key.fd == self._children[key.data].pidfd)
            if self._libraries:
                load(self._libraries.popleft())

    def _accept(self) -> Stage | None:
        """Answer one client: fork, and return the stage in the child, or decline."""
        client, _ = self._listener.accept()
        client.settimeout(10)  # a client sends at once, or was never one
        try:
            message, streams, _, _ = socket.recv_fds(client, REQUEST_BYTES, STANDARD_STREAMS)
            request = json.loads(message)
            against = self._what_is_against(request)
            if against is None:
                for library in OF_STAGES.get(request["module"], OF_OTHER_STAGES):
                    if library in self._known:
                        load(library)
                if threading.active_count() == 1:
                    return self._fork(client, request, streams)
                against = "a library has started threads"
            client.send(f"declined: {against}".encode())
            print(f"{request['module']} declined: {against}", flush=True)
        except (OSError, ValueError, KeyError, TypeError):
            traceback.print_exc()
        for stream in streams:
            os.close(stream)
        client.close()
        return None

    def _what_is_against(self, request: dict[str, Any]) -> str | None:
        """Return how a client differs from this process, in a few words; None where it does not."""
        mine = {"Python": sys.executable, "folder": str(Path.cwd()), **self._environment}
        theirs = {"Python": request["python"], "folder": request["folder"], **request["environment"]}
        names = [name for name in differing(mine, theirs) if not MAY_DIFFER.fullmatch(name)]
        return f"another environment: {', '.join(names)}" if names else None

    def _fork(self, client: socket.socket, request: dict[str, Any], streams: list[int]) -> Stage | None:
        peer = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        pid = os.fork()
        if pid == 0:
            self._leave(client)
            os.setpgid(0, 0)
            return Stage(request, streams, int.from_bytes(peer[:4], sys.byteorder))
        for stream in streams:
            os.close(stream)
        child = Running(pid, os.pidfd_open(pid), client)
        self._children[pid] = child
        self._selector.register(child.pidfd, selectors.EVENT_READ, pid)
        self._selector.register(client, selectors.EVENT_READ, pid)
        with contextlib.suppress(OSError):  # a client that is gone is seen at the next turn
            socket.send_fds(client, [b"running"], [child.pidfd])
        return None

    def _leave(self, client: socket.socket) -> None:
        """Close, in a child, all that belongs to the server, so that each end is seen by the other side."""
        self._selector.close()
        self._listener.close()
        client.close()
        for child in self._children.values():
            child.client.close()
            os.close(child.pidfd)

    def _end_child(self, child: Running, ended: bool) -> None:
        """Report the end of a child to its client, or end a child whose client has gone."""
        if not ended:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            with contextlib.suppress(ProcessLookupError):  # it may not have its group yet
                os.kill(child.pid, signal.SIGKILL)
        _, status = os.waitpid(child.pid, 0)
        with contextlib.suppress(OSError):
            child.client.send(str(status).encode())
        self._selector.unregister(child.pidfd)
        self._selector.unregister(child.client)
        os.close(child.pidfd)
        child.client.close()
        del self._children[child.pid]


def load(library: str) -> None:
    """Import a library, once; one that cannot be imported is left to the stage, which says so."""
    if library in sys.modules:
        return
    started = time.perf_counter()
    try:
        importlib.import_module(library)
    except Exception:
        traceback.print_exc()
    print(f"{library}: {time.perf_counter() - started:.2f} s", flush=True)


def differing(one: dict[str, str], other: dict[str, str]) -> list[str]:
    """Return names of the variables that two environments do not share, in order."""
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def run(stage: Stage, environment: dict[str, str]) -> None:
    """Make this forked process what the client's would have been, and run the stage in it.

    Args:
        environment: the server's when it started; what libraries have set since stays.
    """
    request = stage.request
    for number, stream in enumerate(stage.streams):
        os.dup2(stream, number)
        os.close(stream)
    for name in differing(environment, request["environment"]):
        if name in request["environment"]:
            os.environ[name] = request["environment"][name]
        else:
            os.environ.pop(name, None)
    os.umask(request["umask"])
    for output in (sys.stdout, sys.stderr):
        output.reconfigure(line_buffering=output is sys.stderr or output.isatty())  # type: ignore[union-attr]
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()  # else every stage would draw the same numbers
    gc.freeze()  # libraries are here to stay: no use in looking through them again and again
    gc.enable()
    for name in [name for name in sys.modules if name.split(".")[0] == "graft"]:
        del sys.modules[name]

    from graft.core import timing

    timing.forked(stage.client_pid, time.time() - request["sent"])
    sys.argv = [request["module"], *request["arguments"]]
    runpy.run_module(request["module"], run_name="__main__", alter_sys=True)


def main(libraries: tuple[str, ...] = ALL) -> None:
    """Serve until standard input ends; write what it does to standard output, for whoever looks for a reason."""
    from graft.core.environment import configure
    from graft.core.project import find_project

    lifeline = os.dup(0)  # so that no library can read from it
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    listener = socket.socket(fileno=int(sys.argv[1]))
    with_gpu = any(Path(device).exists() for device in GPU_DEVICES)
    libraries = tuple(library for library in libraries if not (with_gpu and library in NETWORKS))
    gc.disable()  # imports make no garbage to speak of, and are a tenth quicker
    server = StageServer(listener, lifeline, libraries)
    environment = dict(os.environ)
    configure(find_project())
    stage = server.serve()
    if stage is not None:
        os.close(lifeline)
        run(stage, environment)
        return
    address = Path(environment[VARIABLE])  # a `graft run` that was killed has not put it away
    with contextlib.suppress(OSError):
        address.unlink()
        address.parent.rmdir()


if __name__ == "__main__":
    main()
