"""Start and end the server of :mod:`graft.automation.warm` around a run of the pipeline."""

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from graft.automation.warm import VARIABLE
from graft.core.project import Project

LOG = "warm.log"
SERVER = ("-m", "graft.automation.warm.fork_server")


@contextmanager
def warm_stages(project: Project, environment: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Yield the environment in which stages find a server, which lives as long as the block."""
    if not sys.platform.startswith("linux") or environment.get(VARIABLE):
        yield dict(environment)
        return
    # Not in the project: a socket's path may have 107 characters. Nobody else may enter the folder.
    with tempfile.TemporaryDirectory(prefix="graft-", dir=os.environ.get("TMPDIR", "/tmp")) as folder:
        address = Path(folder) / "stages"
        warm = {**environment, VARIABLE: str(address)}
        server = _begin(project, address, warm)
        try:
            yield dict(environment) if server is None else warm
        finally:
            if server is not None:
                _end(server)


def _begin(project: Project, address: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes] | None:
    """Start the server; None where the path of its socket is too long, as in a folder of a cluster's."""
    project.own_cache.mkdir(parents=True, exist_ok=True)
    # Bound here, so that a stage that comes early waits for the server, and one that comes too late finds nobody.
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        try:
            listener.bind(str(address))
        except OSError:
            return None
        listener.listen()
        with (project.own_cache / LOG).open("wb") as log:
            return subprocess.Popen(
                [sys.executable, *SERVER, str(listener.fileno())],
                cwd=project.root,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=[listener.fileno()],
                start_new_session=True,  # Ctrl-C is for the clients, which pass it on
            )


def _end(server: subprocess.Popen[bytes]) -> None:
    assert server.stdin is not None
    server.stdin.close()
    try:
        server.wait(timeout=1)
    except subprocess.TimeoutExpired:  # in the middle of an import that nobody needs any more
        server.kill()
        server.wait()
