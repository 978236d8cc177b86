"""Run the application on a port until it is stopped."""

import errno
import logging
import socket
import warnings

import uvicorn

from graft.core.errors import GraftError
from graft.core.loopback import HOST
from graft.core.params.serve_params import ServeParams
from graft.core.project import Project
from graft.deployment.monitor.prediction_log import PredictionLog
from graft.deployment.server.access import Access
from graft.deployment.server.connections import PatientProtocol, connection_limit
from graft.deployment.server.http_app import create_app
from graft.deployment.server.log_writer import LogWriter
from graft.deployment.server.responses import Kept
from graft.deployment.server.server_metrics import Metrics
from graft.deployment.server.watch_champion import Champion, ModelSource

log = logging.getLogger(__name__)

# Connections that are complete and wait to be accepted, in the system's own queue.
QUEUE = 4096
# The loop accepts so many in one go, before it looks at any of them; a share of the limit, so that files suffice.
ACCEPTED_AT_ONCE = 1 / 8
# A browser opens the next photograph's request within seconds.
KEEP_ALIVE_SECONDS = 5
# Beyond the timeout of a request, so that whatever is under way ends by itself first.
SHUTDOWN_SLACK_SECONDS = 5


class Server(uvicorn.Server):
    """uvicorn's server, with a long queue of connections that it accepts few at a time."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to listen."""
        self.config.backlog = max(1, int(ACCEPTED_AT_ONCE * connection_limit()))
        await super().startup(sockets)
        for listener in sockets or ():
            listener.listen(QUEUE)


def serve(
    project: Project,
    params: ServeParams,
    access: Access,
    listener: socket.socket,
    model: str | None,
    log: PredictionLog | None = None,
    shadow: str | None = None,
    prefix: str = "",
    webhook_secret: str = "",
) -> None:
    """Serve a model until the process gets SIGINT or SIGTERM; what is under way then is still answered, and logged.

    Args:
        model: see :func:`graft.registry.resolve.resolve_model`; None is the champion.
        log: of predictions; None logs nothing.
        shadow: another model that answers for the log alone; None for none.
        prefix, webhook_secret: see :func:`graft.deployment.server.http_app.create_app`.

    Raises:
        GraftError: the model cannot be loaded.
        KeyboardInterrupt: a signal stopped it.
    """
    # Pillow warns of images that are refused anyway, once a request.
    warnings.filterwarnings("ignore", module="PIL")
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
    metrics = Metrics()
    source = ModelSource(project, model, params.max_batch)
    champion = Champion(source, params.poll_seconds, metrics)

    def stop() -> None:
        server.should_exit = True

    log_writer = LogWriter(log, params.log_buffer_bytes, metrics) if log is not None else None
    kept: Kept = "nothing" if log is None else "photographs" if log.params.keep_images else "figures"
    challenger = None
    if shadow is not None:
        behind = ModelSource(project, shadow, params.max_batch)
        challenger = Champion(behind, params.poll_seconds, Metrics(), "In the shadow")
    app = create_app(champion, params, access, metrics, stop, log_writer, kept, challenger, prefix, webhook_secret)
    config = uvicorn.Config(
        app,
        http=PatientProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        # Whatever malformed requests there are, their reasons go to who sent them.
        log_level=logging.ERROR,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=round(params.timeout_seconds + SHUTDOWN_SLACK_SECONDS),
    )
    server = Server(config)
    try:
        server.run([listener])
    finally:
        listener.close()
    if champion.failure is not None:
        raise champion.failure


def bind(host: str, port: int) -> socket.socket:
    """Return a listening socket.

    Raises:
        GraftError: the port is taken, or the address is none of this machine's.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        raise GraftError(
            f"{host}, port {port}, cannot be listened on: {error.strerror or error}",
            "End what listens there, or name another port with --port"
            if error.errno in (errno.EADDRINUSE, errno.EACCES)
            else f"Name an address of this machine with --host, such as {HOST}",
        ) from error
    return listener
