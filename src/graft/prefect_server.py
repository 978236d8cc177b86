"""One Prefect server for all flows of a project, on loopback.

Without ``PREFECT_API_URL`` every flow's process would start a temporary server of its own, which takes longer
than most stages. `graft run` starts one for the length of the pipeline, `graft ui` and `graft schedule` one that
stays; each leaves its address in ``<state>/prefect/server.json``, where flows started by a bare `dvc repro` find it.
Of one that was killed, the server stays; the next of these three uses it, and ends it in its place.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from graft.errors import GraftError
from graft.processes import end
from graft.project import Project

HOST = "127.0.0.1"
IDLE_SERVICES = ("SCHEDULER", "LATE_RUNS", "PAUSE_EXPIRATIONS", "CANCELLATION_CLEANUP", "FOREMAN", "TRIGGERS")
# Pages, and a table of block types: a second or two of each start. `graft ui` has both.
UNUSED = {"PREFECT_SERVER_UI_ENABLED": "false", "PREFECT_SERVER_REGISTER_BLOCKS_ON_START": "false"}
START_LIMIT_SECONDS = 120.0  # the first start creates Prefect's database, slow on a busy small machine


def use_running_server(project: Project) -> None:
    """Points this process at the project's running server, if there is one and the user has named none."""
    if "PREFECT_API_URL" in os.environ:
        return
    url = running_server(project)
    if url:
        os.environ["PREFECT_API_URL"] = url


def running_server(project: Project, that_stays: bool = False) -> str | None:
    """API address of the project's server where one answers, else None.

    Args:
        project: whose.
        that_stays: leave out a server that runs no schedules and ends with the pipeline that it was started for.
    """
    record = _record(project)
    url = record.get("url")
    if not url or (that_stays and not record.get("services")):
        return None
    return str(url) if answers(str(url), timeout=2) else None


def adopt_server(project: Project) -> psutil.Process | None:
    """Takes the project's running server over where whoever started it was killed; None where that is not so.

    Whoever adopts it has to end it, with :func:`stop_server`.
    """
    record = _record(project)
    server = _living(record.get("server"))
    if server is None or "starter" not in record or _living(record["starter"]) is not None:
        return None
    _record_file(project).write_text(json.dumps({**record, "starter": _identity()}), encoding="utf-8")
    return server


def _identity(process: psutil.Process | None = None) -> dict[str, float]:
    """What tells a process, by default this one, from a later one of the same number."""
    process = process or psutil.Process()
    return {"pid": process.pid, "created": process.create_time()}


def _living(identity: object) -> psutil.Process | None:
    """The process that :func:`_identity` described, where it is still there."""
    try:
        assert isinstance(identity, dict)
        process = psutil.Process(int(identity["pid"]))
        # A process has its number alone for longer than a clock that is set right moves what it says of its start.
        return process if abs(process.create_time() - identity["created"]) < 2 else None
    except (AssertionError, KeyError, TypeError, ValueError, psutil.Error):
        return None


def _record_file(project: Project) -> Path:
    return project.prefect / "server.json"


def _record(project: Project) -> dict[str, Any]:
    path = _record_file(project)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def answers(url: str, timeout: float = 2) -> bool:
    """Whether a Prefect API at ``url`` reports itself healthy."""
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=timeout) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError, ValueError):
        return False


def wait_until_ready(url: str, limit: float = START_LIMIT_SECONDS) -> None:
    """Returns once the server at ``url`` answers.

    Raises:
        GraftError: it did not within ``limit`` seconds.
    """
    deadline = time.monotonic() + limit
    while not answers(url):
        if time.monotonic() > deadline:
            raise GraftError(
                f"The Prefect server at {url} did not answer within {limit:.0f} s",
                "See .graft/state/prefect/server.log, or unset PREFECT_API_URL to let each flow start its own",
            )
        time.sleep(0.1)


def free_port() -> int:
    """A loopback port that nothing listens on at the moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def port_is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def start_server(project: Project, port: int, services: bool = True) -> tuple[psutil.Process, str]:
    """Starts a Prefect server without waiting for it; returns its process and API address.

    Args:
        project: the project whose ``PREFECT_HOME`` it serves.
        port: a free loopback port.
        services: also show pages and run the scheduler and its like, which one pipeline run has no use for.
    """
    folder = project.prefect
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", HOST, "--port", str(port)]
    url = f"http://{HOST}:{port}/api"
    # Flows print no log of Prefect's; the server has a file for what goes wrong in it.
    log_level = {"PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "ERROR"}
    environment = {**os.environ, **log_level, "PREFECT_API_URL": url, "PREFECT_UI_API_URL": url}
    if not services:
        # Not --no-services: that also stops what writes task runs down, and flows would show none.
        environment |= {f"PREFECT_SERVER_SERVICES_{name}_ENABLED": "false" for name in IDLE_SERVICES}
        environment |= UNUSED
    with (folder / "server.log").open("wb") as log:
        process = psutil.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, env=environment, start_new_session=True
        )
    record = {"url": url, "services": services, "server": _identity(process), "starter": _identity()}
    _record_file(project).write_text(json.dumps(record), encoding="utf-8")
    return process, url


def has_ended(process: psutil.Process) -> bool:
    """Whether a server that was started or adopted is gone."""
    try:
        process.wait(timeout=0)
    except psutil.TimeoutExpired:
        return False
    return True


def stop_server(project: Project, process: psutil.Process) -> None:
    """Ends a server that was started or adopted, and forgets its address."""
    server = _record(project).get("server")
    if isinstance(server, dict) and server.get("pid") == process.pid:  # else another has been started since
        _record_file(project).unlink(missing_ok=True)
    end([process])


@contextlib.contextmanager
def shared_server(project: Project) -> Iterator[str]:
    """The address of the project's server: the running one, else one that lives as long as the block.

    The server may still be starting when the block begins: flows wait for it with :func:`wait_until_ready`,
    so that its start overlaps with theirs.
    """
    process: psutil.Process | None = None
    url = os.environ.get("PREFECT_API_URL")
    if not url and (url := running_server(project)):
        process = adopt_server(project)
    if not url:
        process, url = start_server(project, free_port(), services=False)
    try:
        yield url
    finally:
        if process is not None:
            stop_server(project, process)
