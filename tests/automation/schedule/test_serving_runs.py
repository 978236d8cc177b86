"""How Prefect's runner is ended: by a signal, and with Prefect's server."""

import subprocess
import sys

import psutil

# In a process of its own, since all that it has started is ended with it.
SCRIPT = """
import asyncio, os, psutil, signal, sys
from graft.core.errors import GraftError
from graft.automation.prefect_server import PrefectServer
from graft.automation.schedule import service

URL = os.environ["PREFECT_API_URL"] = "http://127.0.0.1:9/api"
service.LOOK_SECONDS, service.GONE_SECONDS = 0.05, 0.3 if sys.argv[1] == "unreachable" else 1000.0

class Runner:
    started = True

    async def start(self):
        signal.signal(signal.SIGTERM, lambda *_: print("Prefect's own handler"))
        self.over = asyncio.Event()
        await asyncio.sleep(0)
        print("serving", flush=True)  # and by now it is not Prefect's handler that is asked
        await self.over.wait()

    async def astop(self):
        print("asked to stop")
        self.over.set()

class Broken(Runner):
    async def start(self):
        raise RuntimeError("no more of it")

def server(code):
    return PrefectServer(URL, "password", psutil.Popen([sys.executable, "-c", code]), True)

mine = {"ended": lambda: server("pass"), "unreachable": lambda: None}.get(
    sys.argv[1], lambda: server("import time; time.sleep(600)")
)()
runner = (Broken if sys.argv[1] == "broken" else Runner)()
try:
    asyncio.run(service._serve(runner, mine, [signal.SIGTERM], print))
except GraftError as error:
    print(error)
if mine:
    mine.process.kill()  # whoever has started it ends it, after the runner
    mine.process.wait()
"""


def serve(how: str) -> str:
    process = psutil.Popen([sys.executable, "-c", SCRIPT, how], stdout=subprocess.PIPE, text=True)
    if how == "stopped":
        assert process.stdout.readline() == "serving\n"
        process.terminate()
    printed, _ = process.communicate(timeout=300)
    assert process.returncode == 0
    return printed


def test_a_signal_asks_prefects_runner_to_stop_in_order() -> None:
    assert serve("stopped") == "Ending, with a run that is under way.\nasked to stop\n"


def test_d2_the_schedule_ends_with_prefects_server() -> None:
    gone = "The Prefect server at http://127.0.0.1:9/api is gone, and with it the clock."
    assert gone in serve("ended")


def test_d2_the_schedule_ends_where_a_server_of_the_users_no_longer_answers() -> None:
    assert "The Prefect server at http://127.0.0.1:9/api is gone" in serve("unreachable")


def test_a_runner_that_ends_is_said_why() -> None:
    assert "Prefect's runner has ended: no more of it." in serve("broken")
