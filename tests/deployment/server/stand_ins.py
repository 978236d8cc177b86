"""Models and registries that are fast and do as they are told."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from fastapi import FastAPI

from graft.bundle.images import UnreadableImageError
from graft.core.errors import GraftError
from graft.core.params.serve_params import ServeParams
from graft.deployment.server.access import Access
from graft.deployment.server.http_app import create_app
from graft.deployment.server.served_model import ServedModel
from graft.deployment.server.server_metrics import Metrics
from graft.deployment.server.watch_champion import Champion, Meant
from graft.registry.resolve import ResolvedModel


class Levels:
    """A classifier of two classes whose probabilities are an image's first pixel, and what is left of one."""

    classes = ("bright", "dark")
    known = None
    image_sizes = (1,)
    max_pixels = 100

    def __init__(self) -> None:
        self.decided: dict[str, float] = {}
        self.batches: list[int] = []
        self.free = threading.Event()
        self.free.set()
        self.entered = threading.Event()
        self.error: Exception | None = None

    def to_pixels(self, data: bytes) -> dict[int, np.ndarray]:
        if not data.isdigit():
            raise UnreadableImageError("no number")
        return pixels(int(data))

    def answers(self, images: Mapping[int, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        self.entered.set()
        self.free.wait(60)
        if self.error is not None:
            raise self.error
        level = images[1][:, 0, 0, 0].astype(np.float32) / 255
        self.batches.append(len(level))
        probabilities = np.stack([level, 1 - level], axis=1)
        return probabilities, probabilities.argmax(axis=1)


def pixels(level: int) -> dict[int, np.ndarray]:
    return {1: np.full((1, 1, 3), level, np.uint8)}


def served(version: str = "1", classifier: Levels | None = None) -> ServedModel:
    source = ResolvedModel(Path("bundle"), "levels", version, "champion", "0" * 64)
    return ServedModel(classifier or Levels(), source)  # type: ignore[arg-type]


class Registry:
    """In place of a ModelSource: ``champion`` is what the alias means, ``broken`` cannot be loaded."""

    alias = "champion"

    def __init__(self, champion: str = "1") -> None:
        self.champion = champion
        self.broken: set[str] = set()
        self.reachable = True
        self.tags: dict[str, str] = {}
        self.loads: list[str] = []

    def ask(self) -> Meant:
        if not self.reachable:
            raise GraftError("The registry cannot be asked")
        return Meant(self.champion, dict(self.tags))

    def load(self, version: str) -> ServedModel:
        self.loads.append(version)
        if version in self.broken:
            raise OSError("the file is gone")
        return served(version)


@contextlib.asynccontextmanager
async def client_of(
    model: ServedModel | None, params: ServeParams, token: str | None = None, **more: Any
) -> AsyncIterator[tuple[httpx.AsyncClient, Champion, FastAPI]]:
    """Yield a client of a server in this process, once it is up and has ``model``; ``more`` is for create_app."""
    metrics = Metrics()
    champion = Champion(Registry(), 1000, metrics)  # type: ignore[arg-type]
    app = create_app(champion, params, Access("127.0.0.1", token), metrics, lambda: None, **more)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
    ):
        while champion.model is None:
            await asyncio.sleep(0.001)
        champion.model = model
        yield client, champion, app
