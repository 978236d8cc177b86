"""The application with a prediction log: what it answers is in the log once it has ended."""

import asyncio
import hashlib
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest
from malformed import encoded
from stand_ins import Levels, Registry, served

from graft.bundle.images import decode
from graft.core.params.monitor_params import LogParams
from graft.core.params.serve_params import ServeParams
from graft.deployment.monitor.prediction_log import PredictionLog
from graft.deployment.server.access import Access
from graft.deployment.server.http_app import create_app
from graft.deployment.server.log_writer import LogWriter
from graft.deployment.server.served_model import ServedModel
from graft.deployment.server.server_metrics import Metrics
from graft.deployment.server.watch_champion import Champion

PARAMS = ServeParams(timeout_seconds=60)
IMAGES = [encoded(seed=seed) for seed in range(4)]
PNG = {"content-type": "image/png"}


class Means(Levels):
    """Reads real images; the probability is the first pixel's red."""

    max_pixels = 10_000

    def to_pixels(self, data: bytes) -> dict[int, np.ndarray]:
        return {1: decode(data, 1, self.max_pixels)}


def model(version: str) -> ServedModel:
    found = served(version, Means())
    return replace(found, source=replace(found.source, digest=version * 64))


def served_and_logged(folder: Path) -> tuple[list[httpx.Response], str]:
    """Answers to some requests, between which the champion changes, and the metrics then; the application has ended."""

    async def main() -> tuple[list[httpx.Response], str]:
        metrics = Metrics()
        champion = Champion(Registry(), 1000, metrics)  # type: ignore[arg-type]
        writer = LogWriter(PredictionLog(folder, LogParams()), PARAMS.log_buffer_bytes, metrics)
        app = create_app(champion, PARAMS, Access("127.0.0.1", None), metrics, lambda: None, writer)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client,
        ):
            while champion.model is None:
                await asyncio.sleep(0.001)
            champion.model = model("1")
            answers = [await client.post("/predict", content=IMAGES[0], headers=PNG)]
            champion.model = model("2")
            for some in ([IMAGES[1], IMAGES[2]], [IMAGES[3], b"no image"]):
                files = [("file", (f"{number}.png", data)) for number, data in enumerate(some)]
                answers.append(await client.post("/predict", files=files))
            answers.append(await client.post("/predict", content=IMAGES[3]))
        return answers, metrics.text().decode()

    return asyncio.run(main())


def test_every_image_of_an_answer_is_in_the_log_with_the_model_that_answered(tmp_path: Path) -> None:
    answers, metrics = served_and_logged(tmp_path)
    assert [answer.status_code for answer in answers] == [200, 200, 422, 415]
    rows = list(PredictionLog(tmp_path, LogParams()).read())
    said = [(answer.json()["version"], one) for answer in answers[:2] for one in answer.json()["predictions"]]
    for row, data, (version, one) in zip(rows[:3], IMAGES[:3], said, strict=True):
        assert row.image.sha256 == hashlib.sha256(data).hexdigest()
        assert (row.label, row.probability) == (one["label"], pytest.approx(one["probability"]))
        assert (row.model, row.digest) == (f"levels version {version} (champion)", version * 64)
        assert row.image.problem == ""
        assert row.image.width > 1
    # Of a refused request, what could not be read: the rest of it had no answer.
    (broken,) = rows[3:]
    assert broken.image.sha256 == hashlib.sha256(b"no image").hexdigest()
    assert (broken.label, broken.image.problem) == ("", "not an image that can be read, but text")
    assert 'graft_prediction_log_images_total{outcome="written"} 4.0' in metrics


def test_a_log_that_cannot_be_written_changes_no_answer(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("in the way")
    answers, metrics = served_and_logged(tmp_path / "log")
    assert [answer.status_code for answer in answers] == [200, 200, 422, 415]
    assert 'graft_prediction_log_images_total{outcome="written"} 0.0' in metrics
    assert 'graft_prediction_log_images_total{outcome="failed"} 4.0' in metrics
