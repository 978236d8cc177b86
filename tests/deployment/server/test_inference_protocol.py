"""The Open Inference Protocol, as clients of KServe and Triton speak it, over a stand-in for a model."""

import asyncio
import base64
import json
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from PIL import Image
from stand_ins import client_of, served

from graft.core.params.serve_params import ServeParams
from graft.deployment.server import predicting as decoding
from graft.deployment.server.inference_protocol import HEADER_LENGTH

PARAMS = ServeParams(queue=4, max_images=4, timeout_seconds=60)
MODEL = "/v2/models/levels"


@pytest.fixture(autouse=True)
def any_bytes_are_an_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "open_image", lambda data, max_pixels: Image.new("RGB", (1, 1)))


def run(
    test: Callable[[httpx.AsyncClient], Awaitable[None]], is_loaded: bool = True, token: str | None = None, **more: Any
) -> None:
    async def main() -> None:
        async with client_of(served() if is_loaded else None, PARAMS, token, **more) as (client, _, _):
            await test(client)

    asyncio.run(main())


def request(*levels: bytes, **changes: Any) -> dict[str, Any]:
    data = [base64.b64encode(level).decode() for level in levels]
    return {"inputs": [{"name": "image", "datatype": "BYTES", "shape": [len(levels)], "data": data, **changes}]}


def test_photographs_in_json_are_answered_with_labels_and_probabilities() -> None:
    async def test(client: httpx.AsyncClient) -> None:
        for path in (MODEL, f"{MODEL}/versions/1"):
            answer = await client.post(f"{path}/infer", json={"id": "seven", **request(b"255", b"51")})
            assert answer.status_code == 200
            content = answer.json()
            assert (content["model_name"], content["model_version"], content["id"]) == ("levels", "1", "seven")
            labels, probabilities = content["outputs"]
            assert labels == {"name": "label", "datatype": "BYTES", "shape": [2], "data": ["bright", "dark"]}
            assert probabilities["shape"] == [2, 2]
            assert probabilities["data"] == pytest.approx([1.0, 0.0, 0.2, 0.8])
        chosen = {**request(b"255"), "outputs": [{"name": "probabilities"}]}
        content = (await client.post(f"{MODEL}/infer", json=chosen)).json()
        assert [one["name"] for one in content["outputs"]] == ["probabilities"]

    run(test)


def test_photographs_behind_the_json_are_answered_as_tritons_client_sends_them() -> None:
    async def test(client: httpx.AsyncClient) -> None:
        tensor = b"".join(struct.pack("<I", len(level)) + level for level in (b"255", b"51"))
        tensor_of = {
            "name": "image",
            "datatype": "BYTES",
            "shape": [2],
            "parameters": {"binary_data_size": len(tensor)},
        }
        head = json.dumps({"inputs": [tensor_of], "parameters": {"binary_data_output": True}}).encode()
        headers = {"content-type": "application/octet-stream", HEADER_LENGTH: str(len(head))}
        answer = await client.post(f"{MODEL}/infer", content=head + tensor, headers=headers)
        assert answer.status_code == 200
        assert answer.json()["outputs"][0]["data"] == ["bright", "dark"]
        for body in (head + tensor[:-1], head + tensor + b"x", head, head[:-1]):
            cut = await client.post(f"{MODEL}/infer", content=body, headers=headers)
            assert 400 <= cut.status_code < 500, body
            assert cut.json()["error"]

    run(test)


def test_what_is_there_is_described_and_nothing_else_is() -> None:
    async def test(client: httpx.AsyncClient) -> None:
        assert (await client.get("/v2")).json()["name"] == "graft"
        assert (await client.get("/v2/health/live")).json() == {"live": True}
        assert (await client.get("/v2/health/ready")).json() == {"ready": True}
        assert (await client.get(f"{MODEL}/ready")).json() == {"name": "levels", "ready": True}
        described = (await client.get(f"{MODEL}/versions/1")).json()
        assert (described["versions"], described["inputs"][0]["datatype"]) == (["1"], "BYTES")
        assert described["parameters"] == {"classes": ["bright", "dark"]}
        for path in ("/v2/models/other", f"{MODEL}/versions/2", "/v2/models/other/ready", "/v2/nothing"):
            answer = await client.get(path)
            assert answer.status_code == 404
            assert "error" in answer.json()

    run(test)


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"name": "other"}, 422),
        ({"datatype": "FP32"}, 422),
        ({"shape": [2]}, 422),
        ({"shape": ["1"]}, 422),
        ({"shape": None}, 422),
        ({"data": "text"}, 422),
        ({"data": [7]}, 422),
        ({"data": ["no base64!"]}, 422),
        ({"data": [], "shape": [0]}, 413),
        ({"data": ["AAAA"] * 5, "shape": [5]}, 413),
        ({"parameters": {"binary_data_size": 9}}, 400),
    ],
)
def test_a_malformed_tensor_is_refused_with_a_reason(changed: dict[str, Any], status: int) -> None:
    async def test(client: httpx.AsyncClient) -> None:
        answer = await client.post(f"{MODEL}/infer", json=request(b"255", **changed))
        assert (answer.status_code, bool(answer.json()["error"])) == (status, True)

    run(test)


def test_before_the_model_is_there_probes_say_so() -> None:
    async def test(client: httpx.AsyncClient) -> None:
        assert (await client.get("/v2/health/ready")).status_code == 503
        assert (await client.post(f"{MODEL}/infer", json=request(b"1"))).status_code == 503

    run(test, is_loaded=False)


def test_the_token_is_asked_for_but_not_of_probes() -> None:
    async def test(client: httpx.AsyncClient) -> None:
        assert (await client.get("/v2/health/live")).status_code == 200
        assert (await client.post(f"{MODEL}/infer", json=request(b"1"))).status_code == 401
        headers = {"authorization": "Bearer a-token-for-these-tests"}
        assert (await client.post(f"{MODEL}/infer", json=request(b"1"), headers=headers)).status_code == 200

    run(test, token="a-token-for-these-tests")


def test_a_proxy_may_hand_paths_on_with_its_prefix_or_take_it_away() -> None:
    async def test(client: httpx.AsyncClient) -> None:
        for path in (f"/graft/flowers{MODEL}", MODEL, "/graft/flowers/health", "/health", "/graft/flowers/"):
            assert (await client.get(path)).status_code == 200, path
        assert (await client.get("/graft/flowersx/health")).status_code == 404
        assert (await client.get("/graft/flowers/v2/models/other")).json()["error"]

    run(test, prefix="/graft/flowers")
