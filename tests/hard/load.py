"""Part ``load`` of `make hard`: the server for MINUTES at 80 % of its limit, with all that disturbs a server at once.

The limit is what clients get that each send the next photograph when the last one is answered. Then requests come at
fixed times, 80 % of that many a second, whether or not earlier ones are answered; a latency counts from the time that
the request was due. Meanwhile, every few seconds: another champion, a malformed request of each kind in turn, clients
that send a head byte by byte, and clients that are silent. All on loopback; client and server share the machine.

    make hard ONLY=load MINUTES=60
"""

import asyncio
import contextlib
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
from rows import Row

from benchmarks.serving import HOST, ask, post, until_ready

SHARE = 0.8
LIMIT_CLIENTS, LIMIT_SECONDS = 16, 20.0
CONNECTIONS = 64
SLOW, SILENT = 20, 20
SWAP_SECONDS, MALFORMED_SECONDS, SAMPLE_SECONDS = 10.0, 0.5, 5.0
GROWTH_MB = 40.0  # of the server's memory from the second fifth of the time to the last: caches of libraries fill


@dataclass
class Seen:
    """What was seen in the time.

    Attributes:
        latencies: seconds from when a request was due to its answer, of those answered with 200.
        of_server: seconds from when it was sent; less where it had to wait for a connection.
        wrong: answers that were no answer: another status than 200 and 503, a wrong label, a closed connection.
        refused: answered with 503.
        malformed: requests that were malformed, and were refused with a reason.
        let_in: malformed requests that were not.
        versions: champions that answered.
        memory: megabytes of the server, at regular times.
    """

    latencies: list[float] = field(default_factory=list)
    of_server: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    refused: int = 0
    malformed: int = 0
    let_in: list[str] = field(default_factory=list)
    swaps: int = 0
    closed: int = 0
    versions: set[str] = field(default_factory=set)
    memory: list[float] = field(default_factory=list)


def run(minutes: float, only: list[str]) -> Iterator[Row]:
    """Yield the one row."""
    from running import start
    from small_models import make_served

    with tempfile.TemporaryDirectory(prefix="graft-load-") as folder:
        project, photographs = make_served(Path(folder) / "project")
        with start(project, "--log") as server:
            process = psutil.Process(server.process.pid)
            seen, rate = asyncio.run(_load(server.port, photographs, minutes * 60, process, project.root))
    yield _row(seen, rate, minutes)


def _row(seen: Seen, rate: float, minutes: float) -> Row:
    p50, p99 = (1000 * np.percentile(seen.latencies, share) for share in (50, 99)) if seen.latencies else (0.0, 0.0)
    sent = 1000 * np.percentile(seen.of_server, 99) if seen.of_server else 0.0
    fifth = max(1, len(seen.memory) // 5)
    early, late = statistics.median(seen.memory[fifth : 2 * fifth] or [0]), statistics.median(seen.memory[-fifth:])
    is_good = not seen.wrong and not seen.let_in and late - early < GROWTH_MB and len(seen.versions) > 1
    for line in [*seen.wrong[:5], *seen.let_in[:5]]:
        print(line, file=sys.stderr)
    cells: dict[str, str | int | float] = {
        "load": f"{minutes:g} minutes at {SHARE:.0%} of {rate:.0f} photographs a second",
        "answered": len(seen.latencies),
        "refused (503)": seen.refused,
        "wrong or none": len(seen.wrong),
        "p50 ms": round(p50, 1),
        "p99 ms": round(p99, 1),
        "p99 ms since sent": round(sent, 1),
        "new champions": seen.swaps,
        "malformed, refused": seen.malformed,
        "malformed, let in": len(seen.let_in),
        "slow and silent, closed": seen.closed,
        "memory MB, early and late": f"{early:.0f}, {late:.0f}",
    }
    return Row(cells, is_good)


async def _load(
    port: int, photographs: list[tuple[bytes, str]], seconds: float, process: psutil.Process, root: Path
) -> tuple[Seen, float]:
    await until_ready(port)
    rate = await _limit(port, photographs)
    seen, ends = Seen(), time.monotonic() + seconds
    disturbing = [_swap(seen, ends, root), _malform(seen, ends, port), _sample(seen, ends, process)]
    disturbing += [_linger(seen, ends, port, number < SLOW) for number in range(SLOW + SILENT)]
    await asyncio.gather(_asking(seen, ends, port, photographs, SHARE * rate), *disturbing)
    return seen, rate


async def _limit(port: int, photographs: list[tuple[bytes, str]]) -> float:
    """Photographs a second where each client sends the next one when the last one is answered."""
    turn, answered = itertools.cycle(photographs), 0
    started = time.monotonic()

    async def client() -> None:
        nonlocal answered
        connection = await asyncio.open_connection(HOST, port)
        while time.monotonic() < started + LIMIT_SECONDS:
            status, _ = await post(connection, next(turn)[0])
            answered += status == 200
        connection[1].close()

    await asyncio.gather(*(client() for _ in range(LIMIT_CLIENTS)))
    return answered / (time.monotonic() - started)


async def _asking(seen: Seen, ends: float, port: int, photographs: list[tuple[bytes, str]], rate: float) -> None:
    """Requests at fixed times; each takes the next connection that is free."""
    due: asyncio.Queue[float | None] = asyncio.Queue()
    turn = itertools.cycle(photographs)

    async def connection_of_many() -> None:
        connection = await asyncio.open_connection(HOST, port)
        while (when := await due.get()) is not None:
            data, label = next(turn)
            sent = time.monotonic()
            try:
                status, body = await post(connection, data)
            except (OSError, asyncio.IncompleteReadError):
                # It had been idle for as long as the server keeps one: a client sends that request again.
                connection = await asyncio.open_connection(HOST, port)
                try:
                    status, body = await post(connection, data)
                except (OSError, asyncio.IncompleteReadError) as error:
                    seen.wrong.append(f"no answer: {error!r}")
                    continue
            now = time.monotonic()
            _note(seen, status, body, label, now - when, now - sent)
        connection[1].close()

    workers = [asyncio.create_task(connection_of_many()) for _ in range(CONNECTIONS)]
    started = time.monotonic()
    for number in itertools.count():
        when = started + number / rate
        if when > ends:
            break
        await asyncio.sleep(max(0.0, when - time.monotonic()))
        due.put_nowait(when)
    for _ in workers:
        due.put_nowait(None)
    await asyncio.gather(*workers)


def _note(seen: Seen, status: int, body: bytes, label: str, since_due: float, since_sent: float) -> None:
    if status == 503:
        seen.refused += 1
        return
    found = json.loads(body) if status == 200 else {}
    if status != 200 or found["predictions"][0]["label"] != label:
        seen.wrong.append(f"{status}: {body[:200]!r}, not {label}")
        return
    seen.latencies.append(since_due)
    seen.of_server.append(since_sent)
    seen.versions.add(str(found["version"]))


async def _every(seconds: float, ends: float, act: Callable[[], Awaitable[None]]) -> None:
    while time.monotonic() + seconds < ends:
        await asyncio.sleep(seconds)
        await act()


async def _swap(seen: Seen, ends: float, root: Path) -> None:
    """Another process promotes the version that is not champion, again and again."""
    here = Path(__file__).resolve().parents[1]
    script = (
        f"import sys, pathlib; sys.path[:0] = [{str(here)!r}, {str(here / 'deployment/server')!r}]\n"
        "from champions import move_champion\nfrom graft.core.project import Project\n"
        "for line in sys.stdin:\n"
        "    move_champion(Project(pathlib.Path(sys.argv[1])), line.strip())\n    print(flush=True)\n"
    )
    command = (sys.executable, "-c", script, str(root))
    promoter = await asyncio.create_subprocess_exec(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert promoter.stdin is not None
    assert promoter.stdout is not None
    versions = itertools.cycle(("2", "1"))

    async def promote() -> None:
        promoter.stdin.write(f"{next(versions)}\n".encode())  # type: ignore[union-attr]
        await promoter.stdout.readline()  # type: ignore[union-attr]
        seen.swaps += 1

    await _every(SWAP_SECONDS, ends, promote)
    promoter.stdin.close()
    await promoter.wait()


async def _malform(seen: Seen, ends: float, port: int) -> None:
    from malformed import malformed

    turn = itertools.cycle(list(malformed(16, 20_000_000)))

    async def send() -> None:
        name, request = next(turn)
        connection = await asyncio.open_connection(HOST, port)
        try:
            status, _ = await asyncio.wait_for(ask(connection, request), 60)
        except (OSError, asyncio.IncompleteReadError, ValueError, IndexError, TimeoutError):
            status = 0  # closed, as after what is no HTTP; a HEAD has no body
        connection[1].close()
        if status == 0 or 400 <= status < 500:
            seen.malformed += 1
        elif status != 503:
            seen.let_in.append(f"{name}: {status}")

    await _every(MALFORMED_SECONDS, ends, send)


async def _linger(seen: Seen, ends: float, port: int, slow: bool) -> None:
    """A client that says nothing, or a byte a second, and comes back when it has been closed."""
    while time.monotonic() < ends:
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection(HOST, port)
            for byte in itertools.cycle(b"GET /ready HTTP/1.1\r\nHost: localhost\r\nX-Slow: " + b"x" * 1000):
                if slow:
                    writer.write(bytes([byte]))
                    await writer.drain()
                with contextlib.suppress(TimeoutError):
                    if not await asyncio.wait_for(reader.read(1000), 1):
                        break
                if time.monotonic() > ends:
                    break
            writer.close()
        seen.closed += time.monotonic() < ends
        await asyncio.sleep(0.5)


async def _sample(seen: Seen, ends: float, process: psutil.Process) -> None:
    async def look() -> None:
        seen.memory.append(process.memory_info().rss / 1e6)

    await _every(SAMPLE_SECONDS, ends, look)
