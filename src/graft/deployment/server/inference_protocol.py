"""The Open Inference Protocol, which clients of KServe and Triton speak: ``/v2/models/NAME/infer``.

https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md, and its extension
for binary tensors, by which Triton's client sends bytes behind the JSON
(https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md). A photograph is
one element of the input ``image``, of type BYTES: base64 in JSON, the file itself in a binary tensor. Answers are JSON.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from graft.core.params.serve_params import ServeParams
from graft.deployment.server.admission import BusyError
from graft.deployment.server.bodies import RefusedError, decode_base64, parsed_json
from graft.deployment.server.middleware import PROTOCOL
from graft.deployment.server.predicting import Predictor
from graft.deployment.server.served_model import Answer, ServedModel
from graft.deployment.server.watch_champion import Champion

INPUT, LABEL, PROBABILITIES = "image", "label", "probabilities"
MODEL = PROTOCOL + "/models/{name}"
VERSION = MODEL + "/versions/{version}"
HEADER_LENGTH = "inference-header-content-length"
_EXPECTED = (
    f'Expected {{"inputs": [{{"name": "{INPUT}", "datatype": "BYTES", "shape": [N], "data": ["<base64>", ...]}}]}}.'
)


def add_protocol(app: FastAPI, champion: Champion, predictor: Predictor, params: ServeParams) -> None:
    """Add the endpoints below ``/v2`` of a server's one model."""
    from graft import __version__

    get, post = partial(app.get, include_in_schema=False), partial(app.post, include_in_schema=False)

    def found(name: str, version: str | None) -> ServedModel:
        model = champion.model
        if model is None:
            raise BusyError("the model is being loaded")
        if name != model.source.name or version not in (None, model.source.version):
            asked = name[:80] + (f", version {version[:20]}" if version else "")
            raise RefusedError(404, f"There is no model {asked}. Here is {model.source.name} {model.source.version}.")
        return model

    @get(PROTOCOL)
    async def server() -> dict[str, Any]:
        return {"name": "graft", "version": __version__, "extensions": ["binary_tensor_data"]}

    @get(f"{PROTOCOL}/health/live")
    async def live() -> dict[str, bool]:
        return {"live": True}

    @get(f"{PROTOCOL}/health/ready")
    async def ready() -> Response:
        is_ready = champion.model is not None
        return JSONResponse({"ready": is_ready}, 200 if is_ready else 503)

    @get(MODEL)
    @get(VERSION)
    async def metadata(name: str, version: str | None = None) -> dict[str, Any]:
        model = found(name, version)
        classes = model.classifier.classes
        return {
            "name": name,
            "versions": [model.source.version],
            "platform": "graft",
            "inputs": [{"name": INPUT, "datatype": "BYTES", "shape": [-1]}],
            "outputs": [
                {"name": LABEL, "datatype": "BYTES", "shape": [-1]},
                {"name": PROBABILITIES, "datatype": "FP32", "shape": [-1, len(classes)]},
            ],
            "parameters": {"classes": classes},
        }

    @get(f"{MODEL}/ready")
    @get(f"{VERSION}/ready")
    async def model_ready(name: str, version: str | None = None) -> dict[str, Any]:
        found(name, version)
        return {"name": name, "ready": True}

    @post(f"{MODEL}/infer")
    @post(f"{VERSION}/infer")
    async def infer(request: Request, name: str, version: str | None = None) -> Response:
        found(name, version)
        asked: dict[str, Any] = {}
        unpack = partial(_unpacked, request.headers.get(HEADER_LENGTH), params, asked)
        model, answers = await predictor.answers(request, unpack)
        return JSONResponse(_answer(model, answers, asked))


def _unpacked(header_length: str | None, params: ServeParams, asked: dict[str, Any], body: bytes) -> list[bytes]:
    """Return the photographs of a request, and put its id and wanted outputs into ``asked``.

    Raises:
        RefusedError: the body is not as the protocol has it, or there are too many photographs, or too large ones.
    """
    json_length = len(body)
    if header_length is not None:
        if not (header_length.isdecimal() and int(header_length) <= len(body)):
            raise RefusedError(400, f"The header {HEADER_LENGTH} is not the length of the JSON in the body.")
        json_length = int(header_length)
    content = parsed_json(body[:json_length], _EXPECTED)
    inputs = content.get("inputs") if isinstance(content, dict) else None
    if not (isinstance(inputs, list) and len(inputs) == 1 and isinstance(inputs[0], dict)):
        raise RefusedError(422, f"There is not one input. {_EXPECTED}")
    tensor = inputs[0]
    if (tensor.get("name"), tensor.get("datatype")) != (INPUT, "BYTES"):
        raise RefusedError(422, f"The input is not '{INPUT}' of type BYTES. {_EXPECTED}")
    asked["id"] = content.get("id")
    outputs = content.get("outputs")
    asked["outputs"] = [one.get("name") if isinstance(one, dict) else None for one in outputs or ()]
    if unknown := set(asked["outputs"]) - {LABEL, PROBABILITIES}:
        raise RefusedError(422, f"There is no output {sorted(map(str, unknown))[0][:80]}.")
    parameters = tensor.get("parameters")
    size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
    take: Callable[[], list[bytes]]
    if size is None:
        data = tensor.get("data")
        if not isinstance(data, list):
            raise RefusedError(422, f"The input has no data. {_EXPECTED}")
        if len(data) == 1 and isinstance(data[0], list):
            data = data[0]  # of the shape [1, N]
        count = len(data)
        take = lambda: [decode_base64(position, text, params) for position, text in enumerate(data)]  # noqa: E731
    else:
        binary = body[json_length:]
        if size != len(binary):
            raise RefusedError(400, f"Behind the JSON there are {len(binary)} bytes, not binary_data_size.")
        elements = _elements(binary, params.max_images)
        count = len(elements)
        take = lambda: elements  # noqa: E731
    shape = tensor.get("shape")
    if not isinstance(shape, list) or not all(type(side) is int for side in shape) or np.prod(shape or [0]) != count:
        raise RefusedError(422, f"The shape is not that of {count} elements. {_EXPECTED}")
    if not 1 <= count <= params.max_images:
        raise RefusedError(413, f"A request has 1 to {params.max_images} images, and not {count}.")
    images = take()
    if any(len(image) > params.max_image_bytes for image in images):
        raise RefusedError(413, f"An image is larger than {params.max_image_mb:g} MB, the most that is taken.")
    return images


def _elements(binary: bytes, most: int) -> list[bytes]:
    """Return the elements of a BYTES tensor: each with its length in four bytes, little-endian, in front."""
    found: list[bytes] = []
    place = 0
    while place < len(binary):
        if len(found) > most:
            break
        if place + 4 > len(binary):
            raise RefusedError(400, "The binary tensor is cut off.")
        (length,) = struct.unpack_from("<I", binary, place)
        place += 4
        if place + length > len(binary):
            raise RefusedError(400, "The binary tensor is cut off.")
        found.append(binary[place : place + length])
        place += length
    return found


def _answer(model: ServedModel, answers: list[Answer], asked: dict[str, Any]) -> dict[str, Any]:
    classes = model.classifier.classes
    outputs = {
        LABEL: {"name": LABEL, "datatype": "BYTES", "shape": [len(answers)], "data": [one.label for one in answers]},
        PROBABILITIES: {
            "name": PROBABILITIES,
            "datatype": "FP32",
            "shape": [len(answers), len(classes)],
            "data": [value for one in answers for value in one.probabilities.tolist()],
        },
    }
    answer = {
        "model_name": model.source.name,
        "model_version": model.source.version,
        "outputs": [outputs[name] for name in asked["outputs"] or outputs],
    }
    return answer if asked["id"] is None else {**answer, "id": str(asked["id"])[:200]}
