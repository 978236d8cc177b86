"""Starting and ending the server of :mod:`graft.automation.warm` around a run of the pipeline."""

from __future__ import annotations

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
    project.own_cache.mkdir(parents=True, exist_ok=True)
    # Not in the project: a socket's path may have 107 characters. Nobody else may enter the folder.
    with tempfile.TemporaryDirectory(prefix="graft-", dir=os.environ.get("TMPDIR", "/tmp")) as folder:
        address = Path(folder) / "stages"
        environment = {**environment, VARIABLE: str(address)}
        # Bound here, so that a stage that comes early waits for the server, and one that comes too late finds nobody.
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener,
            (project.own_cache / LOG).open("wb") as log,
        ):
            listener.bind(str(address))
            listener.listen()
            server = subprocess.Popen(
                [sys.executable, *SERVER, str(listener.fileno())],
                cwd=project.root,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=[listener.fileno()],
                start_new_session=True,  # Ctrl-C is for the clients, which pass it on
            )
        try:
            yield environment
        finally:
            assert server.stdin is not None
            server.stdin.close()
            try:
                server.wait(timeout=1)
            except subprocess.TimeoutExpired:  # in the middle of an import that nobody needs any more
                server.kill()
                server.wait()
