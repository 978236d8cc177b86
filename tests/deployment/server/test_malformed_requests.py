"""A real server under requests that are malformed in every way: each is refused with a reason, and nothing stays."""

import psutil
import pytest
from malformed import encoded, malformed
from running import Running

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_outside_settings")]

MAX_IMAGES, MAX_IMAGE_BYTES = 8, 2_000_000
# From the second pass over all of it to the eighth; a pass sends 20 MB in 240 requests.
GROWTH_LIMIT_BYTES = 24_000_000


@pytest.fixture(scope="module")
def corpus() -> dict[str, bytes]:
    requests = list(malformed(MAX_IMAGES, MAX_IMAGE_BYTES))
    assert len(requests) == len({name for name, _ in requests})
    return dict(requests)


def test_each_is_refused_with_a_reason(server: Running, corpus: dict[str, bytes]) -> None:
    assert len(corpus) >= 100
    wrong = {}
    for name, request in corpus.items():
        answer = server.send(request)
        try:
            reason = "" if name.startswith("HEAD") else answer.reason
        except (ValueError, KeyError):
            reason = None
        if not 400 <= answer.status < 500 or reason is None:
            wrong[name] = (answer.status, answer.body[:200])
    assert not wrong, "\n".join(f"{name}: {found}" for name, found in wrong.items())
    assert server.process.poll() is None
    assert "Traceback" not in server.log.read_text()
    assert server.predict(encoded()).status == 200
    assert server.metric("graft_images_under_way ") == 0
    assert server.metric("graft_body_bytes_held ") == 0


def test_memory_is_flat(server: Running, corpus: dict[str, bytes]) -> None:
    process = psutil.Process(server.process.pid)
    sizes = []
    for _ in range(8):
        for request in corpus.values():
            server.send(request)
        sizes.append(process.memory_info().rss)
    assert sizes[-1] - sizes[1] < GROWTH_LIMIT_BYTES, sizes
