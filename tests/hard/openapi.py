"""Part ``openapi`` of `make hard`: requests made from the server's own description, and against it, on loopback.

schemathesis reads /openapi.json, sends what it allows and what it forbids, and holds each answer against it: its
status, type and shape, no 5xx but the 503 of a busy server, nothing given out without the token.
"""

import contextlib
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import seeds
from rows import Row

TOKEN = "a-token-of-more-than-16-letters"
EXAMPLES = 40  # of each operation and kind, in a round


@contextlib.contextmanager
def running(token: str | None) -> Iterator[str]:
    """Yield the address of a server as `graft serve` runs it, over a small model that is right by construction."""
    import uvicorn
    from stand_ins import Levels, Registry, served

    from graft.bundle.images import WHOLE, decode
    from graft.core.params.serve_params import ServeParams
    from graft.deployment.server.access import Access
    from graft.deployment.server.connections import PatientProtocol
    from graft.deployment.server.http_app import create_app
    from graft.deployment.server.server import Server
    from graft.deployment.server.server_metrics import Metrics
    from graft.deployment.server.watch_champion import Champion

    class Brightness(Levels):
        max_pixels = 1_000_000

        def to_pixels(self, data: bytes) -> dict[int, np.ndarray]:
            return {1: decode(data, 1)}

    class Source(Registry):
        def load(self, version: str) -> Any:
            return served(version, Brightness())

    class Evenly:
        """Heat maps of a model that has no files: every place says as much."""

        view = WHOLE

        def __init__(self, bundle: Path) -> None: ...

        def of(self, pixels: dict[int, np.ndarray], classes: list[int]) -> list[np.ndarray]:
            return [np.ones((2, 2), np.float32) for _ in classes]

    metrics = Metrics()
    champion = Champion(Source(), 1000, metrics)  # type: ignore[arg-type]
    params = ServeParams(max_images=4, max_image_mb=1, max_request_mb=2, timeout_seconds=20)
    app = create_app(champion, params, Access("127.0.0.1", token), metrics, lambda: None)
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, http=PatientProtocol, ws="none", lifespan="on", log_config=None, log_level="critical")
    server = Server(config)
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    heat_maps = mock.patch("graft.deployment.server.explaining.HeatMaps", Evenly)
    heat_maps.start()
    thread.start()
    try:
        while not (server.started and champion.model is not None):
            assert thread.is_alive(), "the server has ended"
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(60)
        listener.close()
        heat_maps.stop()


def ask(address: str, token: str | None, examples: int, derandomize: bool) -> Counter[tuple[str, int]]:
    """Send requests of each operation, and hold the answers against the description.

    Returns:
        How many answers there were, by operation and status.

    Raises:
        Exception: an answer is not as described; of several, a group.
    """
    import hypothesis
    import schemathesis
    from hypothesis import strategies as st
    from schemathesis import GenerationMode

    photographs = [seeds.saved("JPEG"), seeds.saved("PNG", "LA"), seeds.saved("BMP")]
    schemathesis.openapi.format("binary", st.sampled_from(photographs) | st.binary(max_size=200))
    schemathesis.serializer("image/*")(lambda context, value: _as_bytes(value))
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    schema = schemathesis.openapi.from_url(f"{address}/openapi.json", headers=headers)
    # A request of too many images is refused by its size.
    schema.config.checks.negative_data_rejection.expected_statuses.append("413")
    # That bytes are a photograph no schema can say.
    excluded = [schemathesis.checks.CHECKS.get_one("positive_data_acceptance")]
    statuses: Counter[tuple[str, int]] = Counter()
    for result in schema.get_all_operations():
        operation = result.ok()
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            few = examples if operation.method == "post" else max(5, examples // 8)

            @hypothesis.settings(
                max_examples=few,
                deadline=None,
                derandomize=derandomize,
                database=None,
                suppress_health_check=list(hypothesis.HealthCheck),
            )
            @hypothesis.given(operation.as_strategy(generation_mode=mode))
            def attempt(case: Any) -> None:
                response = case.call(headers=headers, timeout=60)
                statuses[case.operation.label, response.status_code] += 1
                case.validate_response(response, excluded_checks=excluded, headers=headers)

            with contextlib.suppress(hypothesis.errors.Unsatisfiable):  # nothing is forbidden to a GET without a body
                attempt()
    return statuses


def _as_bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else bytes(getattr(value, "data", None) or str(value).encode())


def run(minutes: float, only: list[str]) -> Iterator[Row]:
    """Yield a row for a server without a token and one for a server with one."""
    for name, token in (("without a token", None), ("with a token", TOKEN)):
        if only and name not in only:
            continue
        answers, problem = Counter[tuple[str, int]](), ""
        with running(token) as address:
            began = time.monotonic()
            while not problem and (not answers or time.monotonic() < began + 60 * minutes):
                try:
                    answers += ask(address, token, EXAMPLES, derandomize=False)
                except (Exception, BaseExceptionGroup) as error:  # schemathesis groups failures
                    problem = str(error)
                    print(problem, flush=True)
        counts = Counter[int]()
        for (_, status), count in answers.items():
            counts[status] += count
        cells = {
            "server": name,
            "requests": sum(counts.values()),
            "minutes": round((time.monotonic() - began) / 60, 1),
            "answers by status": ", ".join(f"{status}: {count:,}" for status, count in sorted(counts.items())),
            "left": int(bool(problem)),
        }
        yield Row(cells, is_good=not problem)
