"""A stage's process that lets a child of the server do its work, see :mod:`graft.automation.warm`.

It is to start fast, so nothing is imported here but small modules of Python's own.
"""

import contextlib
import json
import os
import select
import signal
import socket
import sys
import time
from types import FrameType
from typing import Any, NoReturn

from graft.automation.warm import OFF, REPORT, VARIABLE
from graft.core.errors import EXIT_FAILURE, EXIT_INTERRUPTED
from graft.core.restart import restart_without_harmful_settings

# What a terminal or another process may send a stage; the rest ends the client, and with it the child.
FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
STANDARD_STREAMS = (0, 1, 2)
ANSWER_BYTES = 1024


def hand_over() -> None:
    """Let the server run this process's stage, and end with its exit code.

    Returns where there is no server, this process is neither ``python -m pipelines.<stage>`` nor that of the report,
    or the server does not take it on: then nothing has happened yet.
    """
    if sys.orig_argv[1:2] != ["-m"]:
        return
    module, arguments = sys.orig_argv[2], sys.orig_argv[3:]
    if not module.startswith("pipelines.") and module != REPORT:
        return
    restart_without_harmful_settings()  # `dvc repro` hands on what a shell holds
    address = os.environ.get(VARIABLE)
    if not address or address == OFF:
        return
    try:
        client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        client.connect(address)
        socket.send_fds(client, [_request(module, arguments)], STANDARD_STREAMS)
        answer, descriptors, _, _ = socket.recv_fds(client, ANSWER_BYTES, 1)
    except OSError:  # no server, or it has ended; a closed stream; an environment too large for a message
        return
    except KeyboardInterrupt:  # before the child has begun; it is killed when the connection ends
        os._exit(EXIT_INTERRUPTED)
    if answer != b"running":
        return
    _wait(client, descriptors[0], module)


def _request(module: str, arguments: list[str]) -> bytes:
    mask = os.umask(0)
    os.umask(mask)
    request: dict[str, Any] = {
        "module": module,
        "arguments": arguments,
        "python": sys.executable,
        "folder": os.getcwd(),  # noqa: PTH109 - pathlib would take longer to import than the rest
        "environment": dict(os.environ),
        "umask": mask,
        "sent": time.time(),
    }
    return json.dumps(request).encode("ascii")


def _wait(client: socket.socket, child: int, module: str) -> NoReturn:
    """Pass signals on to the child, a pidfd, and end as it ends."""

    def forward(number: int, _: FrameType | None) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(child, number)

    def pause(number: int, frame: FrameType | None) -> None:
        forward(signal.SIGSTOP, frame)  # SIGTSTP does nothing to a process outside the terminal's session
        os.kill(os.getpid(), signal.SIGSTOP)
        forward(signal.SIGCONT, frame)

    # Python runs a handler between two of its own steps. Of a signal that comes just before a call that waits it would
    # not know until that ends; through this pipe it does.
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    for number in (*FORWARDED, signal.SIGTSTP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, pause if number == signal.SIGTSTP else forward)
    try:
        while client.fileno() not in select.select([client.fileno(), woken], [], [])[0]:
            os.read(woken, ANSWER_BYTES)
        answer = client.recv(ANSWER_BYTES)
    except OSError:
        answer = b""
    if not answer:
        forward(signal.SIGKILL, None)
        print(
            f"\n{module} stopped: the process that had imported its libraries has ended. Run the same command again, "
            f"with {VARIABLE}={OFF} if that repeats.",
            file=sys.stderr,
            flush=True,
        )
        os._exit(EXIT_FAILURE)
    status = int(answer)
    if os.WIFSIGNALED(status):  # so that whoever waits sees the same
        with contextlib.suppress(OSError, ValueError):  # SIGKILL has no handler to reset
            signal.signal(os.WTERMSIG(status), signal.SIG_DFL)
        os.kill(os.getpid(), os.WTERMSIG(status))
    os._exit(os.waitstatus_to_exitcode(status))
