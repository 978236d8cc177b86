"""Run one Prefect server for all flows of a project, on loopback, which lets in nobody but the project's owner.

Without ``PREFECT_API_URL`` every flow's process would start a temporary server of its own, which takes longer
than most stages. `graft run` starts one for the length of the pipeline, `graft ui` and `graft schedule` one that
stays; each leaves its record in ``<state>/prefect/server.json``, where flows started by a bare `dvc repro` find it.
Of one that was killed, the server stays; the next of these three uses it, and ends it in its place.

Whoever reaches loopback could have Prefect run any command: a page in the browser, another account. So a server
wants a password, which is derived from the project's secret and a number of its own start. A record is believed only
where its process lives and is the one that listens at the port; only then is the password sent there, so that whatever
else has taken the port learns nothing.
"""

import base64
import contextlib
import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from graft.core.errors import GraftError
from graft.core.files import read_object, write_file
from graft.core.lock import locked
from graft.core.loopback import HOST
from graft.core.processes import end
from graft.core.project import Project
from graft.core.secret import password_for

URL, PASSWORD = "PREFECT_API_URL", "PREFECT_API_AUTH_STRING"  # by which Prefect's clients find a server
IDLE_SERVICES = ("SCHEDULER", "LATE_RUNS", "PAUSE_EXPIRATIONS", "CANCELLATION_CLEANUP", "FOREMAN", "TRIGGERS")
# Pages, and a table of block types: a second or two of each start. `graft ui` has both.
UNUSED = {"PREFECT_SERVER_UI_ENABLED": "false", "PREFECT_SERVER_REGISTER_BLOCKS_ON_START": "false"}
# Where the machine goes down during a run, the next server finds what that run holds, and lets go of it in time.
LEASES = {"PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem"}
START_LIMIT_SECONDS = 120.0  # the first start creates Prefect's database, slow on a busy small machine
_ANSWER_SECONDS = 5.0


@dataclass(frozen=True)
class PrefectServer:
    """A Prefect server that graft has started.

    Attributes:
        url: address of its API.
        password: the whole string that Prefect's pages and clients ask for.
        process: the process that listens.
        stays: whether it has pages and runs schedules, and does not end with one pipeline.
    """

    url: str
    password: str
    process: psutil.Process
    stays: bool

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which Prefect's clients find the server and are let in."""
        return {URL: self.url, PASSWORD: self.password}

    @property
    def pages(self) -> str:
        """Address of the pages for the browser, which ask for the password."""
        return self.url.removesuffix("/api")


def use_server(project: Project) -> None:
    """Point this process, and those that it starts, at the project's running server, if the user has named none.

    Where none runs, the temporary server that a flow will start for itself gets a password.

    Raises:
        GraftError: Prefect does not take one of its settings.
    """
    from graft.automation.prefect_check import require_settings

    require_settings()
    own = running_server(project)
    if URL in os.environ:
        if own and own.url == os.environ[URL]:
            os.environ[PASSWORD] = own.password  # the one that the user has set may be of an earlier start
        return
    password = _password(project, "for one flow")
    os.environ.update(own.environment if own else {PASSWORD: password, **_guard("http://" + HOST, password)})


def running_server(project: Project, that_stays: bool = False) -> PrefectServer | None:
    """Return the project's server where it answers and knows the project's secret, else None.

    Args:
        that_stays: leave out a server that runs no schedules and ends with the pipeline that it was started for.
    """
    server = _recorded(project)
    if server is None or (that_stays and not server.stays):
        return None
    return server if _answers(server) else None


def adopt_server(project: Project, wait_seconds: float = 10) -> PrefectServer | None:
    """Take over the project's running server where whoever started it was killed; return None where that is not so.

    Whoever adopts it has to end it, with :func:`stop_server`.
    """
    busy = "Another command is taking over Prefect's server"
    with locked(project.state / "adopt.lock", busy, wait_seconds=wait_seconds):
        record = _record(project)
        server = _recorded(project)
        if server is None or "starter" not in record or _living(record["starter"]) is not None:
            return None
        _write_record(project, {**record, "starter": _identity()})
        return server


def wait_until_ready(project: Project, server: PrefectServer, limit: float = START_LIMIT_SECONDS) -> None:
    """Return once a server that graft has started answers.

    Raises:
        GraftError: it has ended, or did not answer within ``limit`` seconds.
    """
    deadline = time.monotonic() + limit
    while not _answers(server):
        if has_ended(server.process):
            raise GraftError(f"Prefect's server at {server.url} has ended", see_log(project))
        if time.monotonic() > deadline:
            what = f"Prefect's server at {server.url} did not answer within {limit:.0f} s"
            raise GraftError(what, see_log(project))
        time.sleep(0.1)


def require_server(project: Project) -> PrefectServer | None:
    """Return once the server that this process is pointed at answers; at once where it is pointed at none.

    Returns:
        The server, where graft has started it.

    Raises:
        GraftError: it is gone, or lets nobody in; which setting is to be looked at.
    """
    from graft.automation.prefect_check import check_named_server, require_database

    url = os.environ.get(URL)
    if not url:
        require_database()  # of the one that each flow starts for itself
        return None
    record = _record(project)
    # The password tells a server of graft's from one of the user's that has come to the same port since.
    if record.get("url") == url and os.environ.get(PASSWORD) == _password(project, record.get("start")):
        if (server := _recorded(project)) is None:
            raise GraftError(f"Prefect's server at {url} has ended", see_log(project))
        wait_until_ready(project, server)
        return server
    check_named_server(url)
    return None


def free_port() -> int:
    """Return a loopback port that nothing listens on at the moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def port_is_free(port: int) -> bool:
    """Return whether a server could listen on this loopback port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def listens(process: psutil.Process, port: int) -> bool:
    """Return whether a process, or one below it, is what listens at a loopback port."""
    try:
        family = [process, *process.children(recursive=True)]
        sockets = [one for member in family for one in member.net_connections(kind="tcp4")]
    except psutil.Error:
        return False
    return any(one.status == psutil.CONN_LISTEN and one.laddr.port == port for one in sockets)


def start_server(project: Project, port: int, stays: bool = True) -> PrefectServer:
    """Start a Prefect server without waiting for it, and leave its record.

    Args:
        project: the project whose ``PREFECT_HOME`` it serves.
        stays: also show pages and run the scheduler and its like, which one pipeline run has no use for.

    Raises:
        GraftError: there can be no password, see :func:`graft.core.secret.project_secret`, or its database is away.
    """
    from graft.automation.prefect_check import require_database

    require_database()
    project.prefect.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "graft.automation.prefect_process", str(project.cache)]
    command += ["server", "start", "--host", HOST, "--port", str(port)]
    origin, start = f"http://{HOST}:{port}", secrets.token_hex(8)
    url, password = f"{origin}/api", _password(project, start)
    # Flows print no log of Prefect's; the server has a file for what goes wrong in it.
    log_level = {"PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "ERROR"}
    # Not on the command line, which every account can read.
    environment = {**os.environ, **log_level, **LEASES, **_guard(origin, password)}
    # Relative, so that pages which were opened as localhost, or through a tunnel, ask where they came from.
    environment |= {URL: url, PASSWORD: password, "PREFECT_UI_API_URL": "/api"}
    if not stays:
        # Not --no-services: that also stops what writes task runs down, and flows would show none.
        environment |= {f"PREFECT_SERVER_SERVICES_{name}_ENABLED": "false" for name in IDLE_SERVICES}
        environment |= UNUSED
    with log_file(project).open("wb") as log:
        process = psutil.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment, start_new_session=True)
    record = {"url": url, "start": start, "stays": stays, "server": _identity(process), "starter": _identity()}
    _write_record(project, record)
    return PrefectServer(url, password, process, stays)


def has_ended(process: psutil.Process) -> bool:
    """Return whether a server that was started or adopted is gone."""
    try:
        return not process.is_running() or bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return True


def stop_server(project: Project, server: PrefectServer) -> None:
    """End a server that was started or adopted, and remove its record."""
    recorded = _record(project).get("server")
    if isinstance(recorded, dict) and recorded.get("pid") == server.process.pid:  # else another has been started
        _record_file(project).unlink(missing_ok=True)
    end([server.process])


@contextlib.contextmanager
def shared_server(project: Project) -> Iterator[dict[str, str]]:
    """Yield the environment of flows: the running server's, else that of one that lives as long as the block.

    The server may still be starting when the block begins: flows wait for it with :func:`require_server`, so that its
    start overlaps with theirs. Where the user has named a server, or one runs that is another's to end, nothing is
    started.
    """
    if URL in os.environ:
        use_server(project)
        yield {name: os.environ[name] for name in (URL, PASSWORD) if name in os.environ}
        return
    mine: PrefectServer | None = None
    server = running_server(project)
    if server is not None:
        mine = adopt_server(project)
    else:
        server = mine = start_server(project, free_port(), stays=False)
    try:
        yield server.environment
    finally:
        if mine is not None:
            stop_server(project, mine)


def log_file(project: Project) -> Path:
    """Return where the log of the server lies that graft started last."""
    return project.prefect / "server.log"


def _guard(origin: str, password: str) -> dict[str, str]:
    """Return settings of a server that has its own pages and whoever knows the password use it, and nobody else."""
    return {"PREFECT_SERVER_API_AUTH_STRING": password, "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": origin}


def _password(project: Project, start: object) -> str:
    # Another one for each start: a tab of the browser goes on asking after the server has ended, and hands its
    # password to whoever listens at that port by then.
    return f"graft:{password_for(project, f'prefect {start}')[:32]}"


def _answers(server: PrefectServer) -> bool:
    port = int(server.url.removesuffix("/api").rpartition(":")[2])
    if not listens(server.process, port):
        return False
    token = base64.b64encode(server.password.encode()).decode()
    request = urllib.request.Request(f"{server.url}/admin/version", headers={"Authorization": f"Basic {token}"})
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(request, timeout=_ANSWER_SECONDS) as response:
            return bool(response.status == 200)
    except OSError:  # URLError is one
        return False


def _recorded(project: Project) -> PrefectServer | None:
    """Return the server of the record where its process lives, whether or not it answers yet."""
    record = _record(project)
    process = _living(record.get("server"))
    url, start = record.get("url"), record.get("start")
    if process is None or not isinstance(url, str) or not isinstance(start, str):
        return None
    return PrefectServer(url, _password(project, start), process, bool(record.get("stays")))


def _identity(process: psutil.Process | None = None) -> dict[str, float]:
    """Return what tells a process, by default this one, from a later one of the same number."""
    process = process or psutil.Process()
    return {"pid": process.pid, "created": process.create_time()}


def _living(identity: object) -> psutil.Process | None:
    """Return the process that :func:`_identity` described, where it is still there."""
    try:
        assert isinstance(identity, dict)
        process = psutil.Process(int(identity["pid"]))
        # A process has its number alone for longer than a clock that is set right moves what it says of its start.
        same = abs(process.create_time() - identity["created"]) < 2
    except (AssertionError, KeyError, TypeError, ValueError, psutil.Error):
        return None
    return process if same and not has_ended(process) else None


def see_log(project: Project) -> str:
    """Return what to do where a server that graft has started is of no use; names its log where that says something."""
    log = log_file(project)
    again = "Run the same command again"
    return f"{again}; the server's log is {log}" if log.is_file() and log.stat().st_size else again


def _record_file(project: Project) -> Path:
    return project.prefect / "server.json"


def _write_record(project: Project, record: dict[str, Any]) -> None:
    write_file(_record_file(project), json.dumps(record), private=True)


def _record(project: Project) -> dict[str, Any]:
    return read_object(_record_file(project))
