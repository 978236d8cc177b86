"""The served champion under load against the bare forward pass of the same model, in one run.

First the model alone, in this process: its forward pass, and decoding with it. Then `graft serve` in a process of its
own, and clients on loopback that each send the next photograph when the last one is answered. Client and server share
the machine, so the server's figures are lower bounds.

    python -m benchmarks.serving data/test --clients 1 8 32
    python -m benchmarks.serving data/test --workers 2 --protocol v2
"""

import argparse
import asyncio
import base64
import json
import os
import signal
import subprocess
import sys
import time
from itertools import cycle
from pathlib import Path

import numpy as np
import psutil

from graft.automation.prefect_server import HOST, free_port
from graft.bundle.model import ImageClassifier
from graft.core.environment import configure
from graft.core.project import find_project

SERVE = "from graft.cli.main import main; main()"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="photographs")
    parser.add_argument("--model", help="as for graft serve; the champion by default")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--workers", type=int, default=1, help="as for graft serve")
    parser.add_argument("--protocol", choices=("predict", "v2"), default="predict", help="v2: base64 in JSON")
    arguments = parser.parse_args()
    project = find_project()
    configure(project)

    from graft.core.params import load_params
    from graft.data.folder.layout import image_files, read_layout
    from graft.deployment.server.watch_champion import ModelSource

    params = load_params(project.params_file).serve
    root = arguments.folder.resolve()
    photographs = [(root / file.name).read_bytes() for file in image_files(read_layout(root))][:500]
    source = ModelSource(project, arguments.model, params.max_batch)
    model = source.load(source.ask().version)
    size = np.mean([len(one) for one in photographs]) / 1000
    print(f"{model.source}, {len(photographs)} photographs of {size:.0f} KB on average")
    bare = measure_alone(model.classifier, photographs, params.max_batch, arguments.seconds)
    path, kind, bodies = "/predict", "image/*", photographs
    if arguments.protocol == "v2":
        path, kind = f"/v2/models/{model.source.name}/infer", "application/json"
        bodies = [as_inference(one) for one in photographs]
    del model

    port = free_port()
    options = ["--model", arguments.model] if arguments.model else []
    options += ["--workers", str(arguments.workers)]
    command = [sys.executable, "-c", SERVE, "serve", "--port", str(port), "--no-log", "--no-token", *options]
    environment = {name: value for name, value in os.environ.items() if name != "GRAFT_TOKEN"}
    server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    try:
        requests = [request_of(body, path, kind) for body in bodies]
        asyncio.run(measure_server(port, server.pid, requests, arguments.clients, arguments.seconds, bare))
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(timeout=60)


def measure_alone(
    classifier: ImageClassifier, photographs: list[bytes], max_batch: int, seconds: float
) -> tuple[float, float]:
    """Return images a second, and CPU seconds an image, of the forward pass in batches; print the other figures too."""
    pixels = [classifier.to_pixels(one) for one in photographs[:max_batch]]
    stacked = {size: np.stack([one[size] for one in pixels]) for size in classifier.image_sizes}
    in_turn = cycle(photographs)

    def forward(count: int) -> None:
        classifier.probabilities({size: images[:count] for size, images in stacked.items()})

    def whole() -> None:
        decoded = classifier.to_pixels(next(in_turn))
        classifier.probabilities({size: image[None] for size, image in decoded.items()})

    print(f"{'':28}images/s  CPU ms an image")
    rows = {
        f"forward pass of {max_batch}": (max_batch, lambda: forward(max_batch)),
        "forward pass of 1": (1, lambda: forward(1)),
        "decoding, forward pass of 1": (1, whole),
    }
    figures = []
    for name, (images, call) in rows.items():
        done, started, used = 0, time.perf_counter(), time.process_time()
        while time.perf_counter() - started < seconds:
            call()
            done += images
        rate = done / (time.perf_counter() - started)
        figures.append((rate, (time.process_time() - used) / done))
        print(f"{name:28}{rate:8.1f}  {1000 * figures[-1][1]:15.2f}")
    return figures[0]


async def measure_server(
    port: int, server: int, requests: list[bytes], clients: list[int], seconds: float, bare: tuple[float, float]
) -> None:
    """Print throughput and latencies at each number of clients."""
    await until_ready(port)
    print("clients  images/s  of forward pass  CPU ms an image  p50 ms  p95 ms  p99 ms  refused")
    for count in clients:
        in_turn = cycle(requests)
        latencies: list[float] = []
        refused = 0
        used = cpu_seconds_of(server)
        started = time.perf_counter()

        async def client(ends: float) -> None:
            nonlocal refused
            connection = await asyncio.open_connection(HOST, port)
            while time.perf_counter() < ends:
                asked = time.perf_counter()
                status, _ = await ask(connection, next(in_turn))  # noqa: B023
                latencies.append(time.perf_counter() - asked)  # noqa: B023
                refused += status != 200
            connection[1].close()

        await asyncio.gather(*(client(started + seconds) for _ in range(count)))
        rate = (len(latencies) - refused) / (time.perf_counter() - started)
        each = 1000 * (cpu_seconds_of(server) - used) / len(latencies)
        p50, p95, p99 = 1000 * np.percentile(latencies, (50, 95, 99))
        print(f"{count:7}  {rate:8.1f}  {rate / bare[0]:15.2f}  {each:15.2f}", end="")
        print(f"  {p50:6.1f}  {p95:6.1f}  {p99:6.1f}  {refused:7}", flush=True)


def cpu_seconds_of(process: int) -> float:
    """Return the CPU time that a process and those that it has started have used so far."""
    first = psutil.Process(process)
    times = [one.cpu_times() for one in (first, *first.children(recursive=True))]
    return float(sum(sum(one[:4]) for one in times))  # with those of children that have ended


async def cpu_seconds(port: int) -> float:
    """Return the CPU time that the server has used so far."""
    connection = await asyncio.open_connection(HOST, port)
    _, text = await ask(connection, b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
    connection[1].close()
    return float(text.partition(b"\nprocess_cpu_seconds_total ")[2].split(b"\n", 1)[0])


async def until_ready(port: int, limit: float = 120) -> None:
    deadline = time.monotonic() + limit
    while True:
        try:
            connection = await asyncio.open_connection(HOST, port)
            if (await ask(connection, b"GET /ready HTTP/1.1\r\nHost: localhost\r\n\r\n"))[0] == 200:
                return
        except OSError:
            pass
        if time.monotonic() > deadline:
            raise SystemExit("The server did not become ready")
        await asyncio.sleep(0.2)


async def post(connection: tuple[asyncio.StreamReader, asyncio.StreamWriter], data: bytes) -> tuple[int, bytes]:
    return await ask(connection, request_of(data, "/predict", "image/*"))


def request_of(body: bytes, path: str, kind: str) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode("ascii") + body


def as_inference(photograph: bytes) -> bytes:
    """Return the body of a request of the Open Inference Protocol."""
    data = [base64.b64encode(photograph).decode("ascii")]
    return json.dumps({"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": data}]}).encode("ascii")


async def ask(connection: tuple[asyncio.StreamReader, asyncio.StreamWriter], request: bytes) -> tuple[int, bytes]:
    """Send a request and read the answer; by hand, because the client shares the machine with the server."""
    reader, writer = connection
    writer.write(request)
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.partition(b"content-length: ")[2].split(b"\r\n", 1)[0])
    return int(head.split(b" ", 2)[1]), await reader.readexactly(length)


if __name__ == "__main__":
    main()
