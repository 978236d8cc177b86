"""Serve with several processes on one port: a parent that starts them, replaces those that die, and ends all."""

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

# A worker that ends sooner than this has not served anything: it would end again.
STARTED_SECONDS = 10.0
# Between two looks whether the parent is alive.
LOOK_SECONDS = 1.0
WORKER = "GRAFT_SERVE_WORKER"


def run_workers(count: int, work: Callable[[], None], ended: Callable[[int], object] = lambda pid: None) -> int:
    """Run ``work`` in so many processes until SIGINT or SIGTERM; return the exit code.

    One that is killed is replaced. One that ends by itself with an error, such as that there is no champion, ends all.

    Args:
        work: what a worker does; raises SystemExit where it fails. Nothing may run in other threads yet: the processes
            are forked.
        ended: called with the number of each process that has ended.
    """
    workers: dict[int, float] = {}
    ending = threading.Event()

    def end(*_: object) -> None:
        ending.set()
        for pid in workers:
            os.kill(pid, signal.SIGTERM)

    def start(number: int) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            _work(work, parent, number)
        workers[pid] = time.monotonic()
        if ending.is_set():
            os.kill(pid, signal.SIGTERM)

    for stop in (signal.SIGTERM, signal.SIGINT):
        signal.signal(stop, end)
    for number in range(count):
        start(number)
    code, number = 0, count
    while workers:
        pid, status = os.wait()
        lived = time.monotonic() - workers.pop(pid, 0.0)
        ended(pid)
        if ending.is_set():
            continue
        how = os.waitstatus_to_exitcode(status)
        if how >= 0 or lived < STARTED_SECONDS:
            code = how if how > 0 else 1
            end()
        else:
            log.warning("Worker %d was ended by signal %d and is replaced", pid, -how)
            start(number)
            number += 1
    return code


def _work(work: Callable[[], None], parent: int, number: int) -> None:
    """Do a worker's work and end this process."""
    os.setpgid(0, 0)  # Ctrl-C reaches the parent alone, which lets workers end in order
    os.environ[WORKER] = str(number)
    for stop in (signal.SIGTERM, signal.SIGINT):
        signal.signal(stop, signal.default_int_handler)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(LOOK_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
    code = 1
    try:
        work()
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    except KeyboardInterrupt:
        code = 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
