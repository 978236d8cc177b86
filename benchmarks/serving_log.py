"""What the prediction log costs the answers: two servers, with and without it, take turns under the same load.

    python -m benchmarks.serving_log data/test --clients 1 8 32 --rounds 5

Medians over the rounds. The CPU time with the log includes what is worked off once the answers are given. The log is
the project's own, so there must be none yet; it is removed at the end.
"""

import argparse
import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from itertools import cycle, islice
from pathlib import Path

import numpy as np

from benchmarks.serving import SERVE, ask, cpu_seconds, post, until_ready
from graft.automation.prefect_server import HOST, free_port
from graft.core.environment import configure
from graft.core.project import find_project

OPTIONS = ("--no-log", "--log")
# A server whose CPU time rises by less in half a second has nothing left to do.
IDLE_SECONDS = 0.02


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="photographs")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--requests", type=int, default=600, help="of a round")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    project = find_project()
    configure(project)
    if project.prediction_log.exists():
        raise SystemExit(f"{project.prediction_log} is there already: move it away, it would be written to")
    photographs = [path.read_bytes() for path in sorted(arguments.folder.rglob("*")) if path.is_file()]
    environment = {name: value for name, value in os.environ.items() if name != "GRAFT_TOKEN"}
    ports = {option: free_port() for option in OPTIONS}
    servers = [
        subprocess.Popen(
            [sys.executable, "-c", SERVE, "serve", "--port", str(port), "--no-token", option],
            env=environment,
            stdout=subprocess.DEVNULL,
        )
        for option, port in ports.items()
    ]
    try:
        asyncio.run(compare(ports, photographs, arguments.clients, arguments.requests, arguments.rounds))
    finally:
        for server in servers:
            server.send_signal(signal.SIGINT)
        for server in servers:
            server.wait(timeout=60)
        shutil.rmtree(project.prediction_log, ignore_errors=True)


async def compare(
    ports: dict[str, int], photographs: list[bytes], clients: list[int], requests: int, rounds: int
) -> None:
    """Run rounds of both servers in turn, the first one changing; then print what the log made of it."""
    for port in ports.values():
        await until_ready(port)
        await measure(port, photographs, 4, 100)
    print("clients            CPU ms an image  p50 ms  p95 ms  p99 ms")
    for count in clients:
        figures: dict[str, list[list[float]]] = {option: [] for option in OPTIONS}
        for number in range(rounds):
            for option in OPTIONS if number % 2 else reversed(OPTIONS):
                figures[option].append(await measure(ports[option], photographs, count, requests))
        for option, rows in figures.items():
            each, p50, p95, p99 = np.median(rows, axis=0)
            print(f"{count:7}  {option:8} {each:16.2f}  {p50:6.1f}  {p95:6.1f}  {p99:6.1f}", flush=True)
    for option, port in ports.items():
        for line in (await metrics(port)).splitlines():
            if line.startswith(("graft_prediction_log_images_total", "process_resident_memory_bytes")):
                print(option, line)


async def measure(port: int, photographs: list[bytes], clients: int, requests: int) -> list[float]:
    """Return CPU milliseconds an image, and three percentiles of the latency in milliseconds."""
    latencies: list[float] = []
    waiting = islice(cycle(photographs), requests)
    used = await cpu_seconds(port)

    async def client() -> None:
        connection = await asyncio.open_connection(HOST, port)
        for photograph in waiting:
            asked = time.perf_counter()
            status, body = await post(connection, photograph)
            if status != 200:
                raise SystemExit(f"The server answered {status}: {body[:200]!r}")
            latencies.append(time.perf_counter() - asked)
        connection[1].close()

    await asyncio.gather(*(client() for _ in range(clients)))
    before, now = used, await cpu_seconds(port)
    while now - before > IDLE_SECONDS:
        await asyncio.sleep(0.5)
        before, now = now, await cpu_seconds(port)
    return [1000 * (now - used) / requests, *(1000 * np.percentile(latencies, (50, 95, 99)))]


async def metrics(port: int) -> str:
    connection = await asyncio.open_connection(HOST, port)
    _, text = await ask(connection, b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
    connection[1].close()
    return text.decode()


if __name__ == "__main__":
    main()
