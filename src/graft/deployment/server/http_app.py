"""The endpoints, as an ASGI application; see :mod:`graft.deployment.server.server` for what runs it."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.params import Security
from fastapi.responses import HTMLResponse, JSONResponse, Response
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException

from graft.core.params.serve_params import ServeParams
from graft.deployment.server.access import Access
from graft.deployment.server.admission import BusyError
from graft.deployment.server.bodies import JSON_KEY, RefusedError
from graft.deployment.server.inference_protocol import add_protocol
from graft.deployment.server.log_writer import LogWriter
from graft.deployment.server.middleware import PROTOCOL, Gate
from graft.deployment.server.predicting import Predictor
from graft.deployment.server.registry_webhook import add_webhook
from graft.deployment.server.responses import Description, Kept, Predictions, Readiness, Refusal, description
from graft.deployment.server.server_metrics import CONTENT_TYPE, Metrics
from graft.deployment.server.serving_page import PAGE, PAGE_POLICY
from graft.deployment.server.watch_champion import Champion
from graft.deployment.server.workers import WORKER

# By then a place is likely free: most answers take a fraction of a second.
RETRY_SECONDS = "1"


def create_app(
    champion: Champion,
    params: ServeParams,
    access: Access,
    metrics: Metrics,
    on_failure: Callable[[], None],
    log_writer: LogWriter | None = None,
    kept: Kept = "nothing",
    challenger: Champion | None = None,
    prefix: str = "",
    webhook_secret: str = "",
) -> FastAPI:
    """Return the application.

    Args:
        champion: the model that answers; started and stopped with the application.
        metrics: shared with ``champion``.
        log_writer: of the prediction log, started and stopped with the application; None logs nothing.
        kept: what is logged of a photograph.
        challenger: a model that answers in the shadow, for the log alone.
        prefix: of the paths that a proxy hands on, such as ``/graft``; "" for none.
        webhook_secret: of MLflow's webhooks; "" takes none.
    """
    predictor = Predictor(champion, params, metrics, log_writer, challenger)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        predictor.start()
        champion.start(on_failure)
        if predictor.shadow is not None:
            predictor.shadow.start()
        while WORKER in os.environ and champion.model is None and champion.failure is None:
            await asyncio.sleep(0.02)  # other workers answer meanwhile: this one takes no connection before it can
        if log_writer is not None:
            log_writer.start(lambda: predictor.admission.images > 0)
        yield
        await champion.stop()
        if predictor.shadow is not None:
            await predictor.shadow.stop()
        await predictor.stop()
        if log_writer is not None:
            await asyncio.to_thread(log_writer.stop)

    app = FastAPI(
        title="graft",
        description="Photographs in, label and probabilities out.",
        lifespan=lifespan,
        redirect_slashes=False,
        # What graft.deployment.server.middleware refuses at every path.
        responses=_refusals(400, 403, 431),
        # Their scripts and styles come from elsewhere.
        docs_url=None,
        redoc_url=None,
    )
    app.add_middleware(Gate, access=access, metrics=metrics, prefix=prefix)
    _refuse_in_one_form(app)
    add_protocol(app, champion, predictor, params)
    if webhook_secret:
        add_webhook(app, champion, webhook_secret)

    def count_under_way() -> None:
        metrics.images_under_way.set(predictor.admission.images)
        metrics.bytes_held.set(predictor.admission.bytes)

    protected = [Security(HTTPBearer(auto_error=False))] if access.wants_token else []

    @app.post(
        "/predict",
        response_model=Predictions,
        responses=_refusals(401, 408, 413, 415, 422, 503),
        openapi_extra={"requestBody": _request_body(params)},
        dependencies=protected,
    )
    async def predict(request: Request) -> Response:
        """Label and probabilities of one photograph or several."""
        try:
            return JSONResponse(await predictor.answer(request))
        finally:
            count_under_way()

    @app.post(
        "/explain",
        response_class=Response,
        responses={200: {"content": {"image/jpeg": {}}}, **_refusals(401, 408, 413, 415, 422, 503)},
        openapi_extra={"requestBody": _request_body(params)},
        dependencies=protected,
    )
    async def explain(request: Request) -> Response:
        """Show where the model looked in one photograph: a JPEG, yellow to red where something speaks for the label."""
        return Response(await predictor.explain(request), media_type="image/jpeg")

    @app.get("/model", response_model=Description, responses=_refusals(401, 503), dependencies=protected)
    async def model() -> Description:
        """Return the model that answers, and its classes."""
        if champion.model is None:
            raise BusyError("the model is being loaded")
        return description(champion.model, champion.tags, kept)

    @app.get("/health")
    async def health() -> dict[str, str]:
        """Return whether the server runs; says nothing of the model."""
        return {"status": "ok"}

    @app.get("/ready", response_model=Readiness, responses={503: {"model": Readiness}})
    async def ready(request: Request) -> Response:
        """Return whether photographs are answered."""
        found = champion.model
        answer = Readiness(ready=found is not None)
        if request.state.allowed:
            answer.problem = champion.problem or None
            if found is not None:
                answer.model, answer.version = found.source.name, found.source.version
        return JSONResponse(answer.model_dump(), 200 if found else 503)

    @app.get("/metrics", response_class=Response, responses=_refusals(401), dependencies=protected)
    async def metrics_text() -> Response:
        """Return the counters in Prometheus' text format."""
        count_under_way()
        return Response(metrics.text(), media_type=CONTENT_TYPE)

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def page() -> Response:
        return HTMLResponse(PAGE, headers={"content-security-policy": PAGE_POLICY})

    return app


def _refuse_in_one_form(app: FastAPI) -> None:
    """Make every refusal a :class:`Refusal`, whoever raises it."""

    def answer(request: Request, reason: str, status: int, headers: Mapping[str, str] | None = None) -> Response:
        name = "error" if request.scope["path"].startswith(f"{PROTOCOL}/") else "detail"
        return JSONResponse({name: reason}, status, headers)

    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, RefusedError)
        return answer(request, error.reason, error.status)

    async def busy(request: Request, error: Exception) -> Response:
        return answer(request, f"No answer now: {error}. Try again.", 503, {"retry-after": RETRY_SECONDS})

    async def of_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        reasons = {
            404: "There is nothing at this path. GET /openapi.json describes what there is.",
            405: f"{request.method[:20]} is not for this path. GET /openapi.json describes what there is.",
        }
        reason = reasons.get(error.status_code, str(error.detail))
        return answer(request, reason, error.status_code, error.headers)

    async def unforeseen(request: Request, error: Exception) -> Response:
        return answer(request, "The server failed at this request, and has logged why.", 500)

    app.add_exception_handler(RefusedError, refused)
    app.add_exception_handler(BusyError, busy)
    app.add_exception_handler(HTTPException, of_http)
    app.add_exception_handler(Exception, unforeseen)


def _refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": Refusal} for status in statuses}


def _request_body(params: ServeParams) -> dict[str, Any]:
    binary = {"type": "string", "format": "binary"}
    files = {"type": "array", "items": binary, "minItems": 1, "maxItems": params.max_images}
    texts = {**files, "items": {"type": "string", "format": "byte"}}
    return {
        "required": True,
        "content": {
            "image/*": {"schema": binary},
            "application/octet-stream": {"schema": binary},
            "multipart/form-data": {"schema": {"type": "object", "properties": {"file": files}}},
            "application/json": {
                "schema": {
                    "type": "object",
                    "properties": {JSON_KEY: texts},
                    "required": [JSON_KEY],
                    "additionalProperties": False,
                }
            },
        },
    }
