"""Run flows only for as long as their Prefect server is there."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator

from graft.automation.prefect_server import URL, has_ended, require_server, see_log
from graft.core.errors import EXIT_FAILURE, GraftError, first_line
from graft.core.project import Project

LOOK_SECONDS = 1.0
GRACE_SECONDS = 10.0  # in which the block may put things away; Prefect's client would try for minutes to reach it


@contextlib.contextmanager
def required_server(project: Project) -> Iterator[None]:
    """Wait for the Prefect server that this process is pointed at, and end the block where that ends.

    For the main thread: the block is interrupted as by Ctrl-C. Where it does not end within ``GRACE_SECONDS``, the
    process does, with the sentence of the error and exit code 1.

    Raises:
        GraftError: the server does not answer, lets nobody in, or has ended during the block.
    """
    import httpx

    server, main = require_server(project), threading.get_ident()
    gone, over = threading.Event(), threading.Event()
    error = GraftError("Prefect's server has ended, and with it this run", see_log(project))

    def watch() -> None:
        while server is not None and not over.wait(LOOK_SECONDS):
            if has_ended(server.process):
                gone.set()
                signal.pthread_kill(main, signal.SIGINT)
                if not over.wait(GRACE_SECONDS):
                    print(f"\n{error}", file=sys.stderr, flush=True)
                    sys.stdout.flush()
                    os._exit(EXIT_FAILURE)
                return

    threading.Thread(target=watch, name="prefect-watch", daemon=True).start()
    try:
        yield
    except BaseException as raised:
        if gone.is_set():
            raise error from None
        if isinstance(raised, httpx.TransportError):
            what = f"The Prefect server at {os.environ.get(URL)} no longer answers: {first_line(raised)}"
            raise GraftError(what, "See to it, and run the same command again") from None
        raise
    finally:
        over.set()
