"""The page to label images on: one image at a time, by keyboard, mouse or thumb; on this machine, or with a token."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from graft.core.errors import GraftError
from graft.core.html.html_page import page_policy, render
from graft.deployment.labelling.labelling_task import IMAGES, LabellingTask
from graft.deployment.server.access import Access
from graft.deployment.server.middleware import Gate
from graft.deployment.server.server_metrics import Metrics

# What a browser shows itself; others come as PNG.
_SHOWN = {".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".gif": "image/gif", ".webp": "image/webp"}
MOST_BODY = 4096  # bytes of a decision
SIDE = 1600  # pixels that another format is shown with at most


def create_labelling_app(task: LabellingTask, access: Access, finish: Callable[[], str]) -> Gate:
    """Return the application.

    Args:
        finish: what the page's last button does, such as putting the labels into the inbox; returns what to say.
    """
    page = render("deployment/labelling/label.html", title="graft: what is on this photograph?", kind=task.kind)
    files = {one.sha256: task.folder / IMAGES / one.file for one in task.items}

    async def shown(request: Request) -> Response:
        return HTMLResponse(page, headers={"content-security-policy": page_policy(page)})

    async def items(request: Request) -> Response:
        names = ("sha256", "name", "suggested", "probability", "why", "label", "verdict")
        rows = [{name: getattr(one, name) for name in names} for one in task.items]
        return JSONResponse({"kind": task.kind, "classes": task.classes, "items": rows})

    async def image(request: Request) -> Response:
        file = files.get(request.path_params["sha256"])
        if file is None or not file.is_file():
            return JSONResponse({"detail": "There is no such image."}, 404)
        return _picture(file)

    async def decide(request: Request) -> Response:
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > MOST_BODY:
                return JSONResponse({"detail": "That is no decision."}, 413)
        try:
            found = json.loads(body)
            task.decide(str(found["sha256"]), str(found["verdict"]), str(found.get("label", "")))
        except (ValueError, TypeError, KeyError, AttributeError):
            return JSONResponse({"detail": "That is no decision."}, 400)
        except GraftError as error:
            return JSONResponse({"detail": str(error)}, 422)
        return JSONResponse({"classes": task.classes, "open": task.open_items})

    async def done(request: Request) -> Response:
        try:
            return JSONResponse({"said": finish()})
        except GraftError as error:
            return JSONResponse({"detail": str(error)}, 422)

    routes = [
        Route("/", shown),
        Route("/items", items),
        Route("/image/{sha256}", image),
        Route("/decide", decide, methods=["POST"]),
        Route("/finish", done, methods=["POST"]),
    ]
    return Gate(Starlette(routes=routes), access, Metrics())


def _picture(file: Path) -> Response:
    """Return an image as a browser can show it."""
    import io

    from graft.bundle.images import open_image, to_rgb

    data = file.read_bytes()
    if kind := _SHOWN.get(file.suffix):
        return Response(data, media_type=kind)
    picture = to_rgb(open_image(data, 10**9))
    picture.thumbnail((SIDE, SIDE))
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return Response(stream.getvalue(), media_type="image/png")
