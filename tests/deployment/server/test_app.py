"""The endpoints over a stand-in for a model: waiting, busy, failing, and what OpenAPI and Prometheus are told."""

import asyncio
import base64
import hashlib
import re
from collections.abc import Awaitable, Callable

import httpx
import pytest
from fastapi import FastAPI
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families
from stand_ins import Levels, client_of, served

from graft.core.params.serve_params import ServeParams
from graft.deployment.server import predicting as decoding
from graft.deployment.server.responses import Kept
from graft.deployment.server.serving_page import PAGE, PAGE_POLICY
from graft.deployment.server.watch_champion import Champion

PARAMS = ServeParams(queue=4, max_images=4, timeout_seconds=60)
TYPE = {"content-type": "image/png"}


@pytest.fixture(autouse=True)
def any_bytes_are_an_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-in reads numbers: the look at the header of a real image goes."""
    monkeypatch.setattr(decoding, "open_image", lambda data, max_pixels: Image.new("RGB", (1, 1)))


def run(
    test: Callable[[httpx.AsyncClient, Champion, FastAPI], Awaitable[None]],
    params: ServeParams = PARAMS,
    classifier: Levels | None = None,
    token: str | None = None,
    kept: Kept = "nothing",
) -> None:
    async def main() -> None:
        async with client_of(served(classifier=classifier), params, token, kept=kept) as (client, champion, app):
            await test(client, champion, app)

    asyncio.run(main())


def test_label_and_probabilities() -> None:
    async def test(client: httpx.AsyncClient, champion: Champion, app: FastAPI) -> None:
        answer = await client.post("/predict", content=b"51", headers=TYPE)
        assert answer.status_code == 200
        (found,) = answer.json().pop("predictions")
        assert found["label"] == "dark"
        assert found["probability"] == pytest.approx(0.8)
        assert found["probabilities"] == pytest.approx({"bright": 0.2, "dark": 0.8})

    run(test)


def test_before_the_model_is_there() -> None:
    async def test(client: httpx.AsyncClient, champion: Champion, app: FastAPI) -> None:
        champion.model = None
        for answer in (await client.post("/predict", content=b"51", headers=TYPE), await client.get("/model")):
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
            assert "being loaded" in answer.json()["detail"]
        ready = await client.get("/ready")
        assert (ready.status_code, ready.json()["ready"]) == (503, False)
        assert (await client.get("/health")).status_code == 200
        # What is malformed is malformed then too.
        assert (await client.post("/predict", content=b"51")).status_code == 415

    run(test)


def test_a_full_queue_is_refused_at_once_and_empties() -> None:
    classifier = Levels()

    async def test(client: httpx.AsyncClient, champion: Champion, app: FastAPI) -> None:
        classifier.free.clear()
        waiting = [
            asyncio.create_task(client.post("/predict", content=b"%d" % level, headers=TYPE)) for level in range(4)
        ]
        while b"graft_images_under_way 4.0" not in (await client.get("/metrics")).content:
            await asyncio.sleep(0.01)
        refused = await client.post("/predict", content=b"9", headers=TYPE)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert "4 images are under way" in refused.json()["detail"]
        classifier.free.set()
        assert [answer.status_code for answer in await asyncio.gather(*waiting)] == [200] * 4
        assert (await client.post("/predict", content=b"9", headers=TYPE)).status_code == 200

    run(test, classifier=classifier)


def test_an_answer_that_takes_too_long_is_given_up() -> None:
    classifier = Levels()

    async def test(client: httpx.AsyncClient, champion: Champion, app: FastAPI) -> None:
        classifier.free.clear()
        answer = await client.post("/predict", content=b"9", headers=TYPE)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert "no answer within 0.5 s" in answer.json()["detail"]
        assert "graft_images_under_way 0.0" in (await client.get("/metrics")).text
        classifier.free.set()

    run(test, PARAMS.model_copy(update={"timeout_seconds": 0.5}), classifier)


def test_a_model_that_fails_is_the_servers_fault(caplog: pytest.LogCaptureFixture) -> None:
    classifier = Levels()

    async def test(client: httpx.AsyncClient, champion: Champion, app: FastAPI) -> None:
        classifier.error = ArithmeticError("secret")
        answer = await client.post("/predict", content=b"9", headers=TYPE)
        assert answer.status_code == 500
        assert "secret" not in answer.text
        classifier.error = None
        assert (await client.post("/predict", content=b"9", headers=TYPE)).status_code == 200
        text = (await client.get("/metrics")).text
        assert 'graft_requests_total{path="/predict",status="500"} 1.0' in text

    run(test, classifier=classifier)


def test_metrics_are_as_prometheus_reads_them() -> None:
    async def test(client: httpx.AsyncClient, champion: Champion, app: FastAPI) -> None:
        for path in ("/predict", "/a", "/b", "/health"):
            await client.post(path, content=b"51", headers=TYPE)
        answer = await client.get("/metrics")
        assert answer.headers["content-type"].startswith("text/plain; version=")
        samples = {
            (sample.name, *sorted(sample.labels.values())): sample.value
            for family in text_string_to_metric_families(answer.text)
            for sample in family.samples
        }
        assert samples["graft_requests_total", "/predict", "200"] == 1
        assert samples["graft_requests_total", "404", "other"] == 2  # a path that a stranger made up is no label
        assert samples["graft_requests_total", "/health", "405"] == 1
        assert samples["graft_predictions_total", "dark"] == 1
        for stage in ("read", "decode", "infer"):
            assert samples["graft_stage_seconds_count", stage] == 1
        assert samples["graft_batch_images_sum",] == 1
        assert samples["graft_model_info", "1", "levels"] == 1
        assert samples["graft_images_under_way",] == 0
        assert samples["process_resident_memory_bytes",] > 0

    run(test)


def test_openapi_tells_everything_there_is() -> None:
    async def test(client: httpx.AsyncClient, champion: Champion, app: FastAPI) -> None:
        schema = (await client.get("/openapi.json")).json()
        assert set(schema["paths"]) == {"/predict", "/explain", "/model", "/health", "/ready", "/metrics"}
        predict = schema["paths"]["/predict"]["post"]
        kinds = {"image/*", "application/octet-stream", "multipart/form-data", "application/json"}
        assert set(predict["requestBody"]["content"]) == kinds
        assert set(predict["responses"]) == {"200", "400", "401", "403", "408", "413", "415", "422", "431", "503"}
        assert "securitySchemes" not in schema["components"]

    run(test)


def test_openapi_asks_for_the_token_where_there_is_one() -> None:
    token = "0123456789abcdef"

    async def test(client: httpx.AsyncClient, champion: Champion, app: FastAPI) -> None:
        champion.problem = "Version 2 cannot be loaded"
        nothing = {"ready": True, "model": None, "version": None, "problem": None}
        assert (await client.get("/ready")).json() == nothing
        client.headers["authorization"] = f"Bearer {token}"
        found = {**nothing, "model": "levels", "version": "1", "problem": champion.problem}
        assert (await client.get("/ready")).json() == found
        schema = (await client.get("/openapi.json")).json()
        assert schema["components"]["securitySchemes"]["HTTPBearer"]["scheme"] == "bearer"
        secured = {path for path, methods in schema["paths"].items() for one in methods.values() if "security" in one}
        assert secured == {"/predict", "/explain", "/model", "/metrics"}

    run(test, token=token)


FOREIGN = (
    {"origin": "http://example.org"},
    {"origin": "http://localhost:8001"},
    {"origin": "null"},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
)


async def ask_everything(
    client: httpx.AsyncClient, app: FastAPI, headers: dict[str, str]
) -> dict[tuple[str, str], httpx.Response]:
    """Every route by every method, with an image as the body."""
    paths = {route.path for route in app.routes} | {"/nothing"}  # type: ignore[attr-defined]
    assert {"/", "/predict", "/model", "/metrics", "/health", "/ready", "/openapi.json"} <= paths
    return {
        (method, path): await client.request(method, path, content=b"51", headers={**TYPE, **headers})
        for path in sorted(paths)
        for method in ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS")
    }


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_a4_no_route_answers_a_page_of_another_origin(headers: dict[str, str]) -> None:
    async def test(client: httpx.AsyncClient, champion: Champion, app: FastAPI) -> None:
        answers = await ask_everything(client, app, headers)
        link = answers.pop(("GET", "/"))
        # A link may lead to the page, which holds nothing; a script may not read even that.
        assert (link.status_code, link.text) == ((403, link.text) if "origin" in headers else (200, PAGE))
        assert {answer.status_code for answer in answers.values()} == {403}
        assert "graft_predictions_total{" not in (await client.get("/metrics")).text
        assert (await client.post("/predict", content=b"51", headers=TYPE)).status_code == 200
        own = {**TYPE, "origin": "http://localhost", "sec-fetch-site": "same-origin"}
        assert (await client.post("/predict", content=b"51", headers=own)).status_code == 200

    run(test)


@pytest.mark.parametrize("headers", [{}, {"origin": "http://example.org"}, {"origin": "http://localhost"}], ids=str)
def test_a4_no_route_answers_without_the_token(headers: dict[str, str]) -> None:
    token = "0123456789abcdef"

    async def test(client: httpx.AsyncClient, champion: Champion, app: FastAPI) -> None:
        answers = await ask_everything(client, app, {**headers, "cookie": f"graft-token={token}"})
        open_to_all = {(method, path) for (method, path), answer in answers.items() if answer.status_code != 401}
        paths = {"/", "/health", "/ready", "/v2/health/live", "/v2/health/ready"}
        assert {path for _, path in open_to_all} == paths
        for method, path in open_to_all - {("GET", path) for path in paths}:
            assert answers[method, path].status_code == 405
        assert "levels" not in answers["GET", "/ready"].text + answers["GET", "/"].text
        client.headers["authorization"] = f"Bearer {token}"
        assert (await client.post("/predict", content=b"51", headers={**TYPE, **headers})).status_code == 200

    run(test, token=token)


@pytest.mark.parametrize("kept", ["nothing", "figures", "photographs"])
def test_a10_the_page_is_told_what_is_kept(kept: Kept) -> None:
    async def test(client: httpx.AsyncClient, champion: Champion, app: FastAPI) -> None:
        assert (await client.get("/model")).json()["kept"] == kept

    run(test, kept=kept)
    assert f"\n  {kept}: " in PAGE
    assert "not kept" not in PAGE


def test_the_page_needs_nothing_from_elsewhere() -> None:
    async def test(client: httpx.AsyncClient, champion: Champion, app: FastAPI) -> None:
        answer = await client.get("/")
        assert (answer.status_code, answer.text) == (200, PAGE)
        assert answer.headers["content-security-policy"] == PAGE_POLICY
        assert answer.headers["x-content-type-options"] == "nosniff"

    run(test)
    assert re.findall(r"https?://|@import|url\(|src=", PAGE) == []
    for element in ("script", "style"):
        (block,) = re.findall(rf"<{element}>(.*?)</{element}>", PAGE, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(block.encode()).digest()).decode()
        assert f"{element}-src 'sha256-{digest}';" in PAGE_POLICY
    # The policy runs no such attributes, and the browser would say so in its console alone.
    assert re.findall(r"\s(?:on\w+|style)=", PAGE) == []
