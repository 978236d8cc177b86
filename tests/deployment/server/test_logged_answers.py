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
from graft.deployment.monitor.reached import TrueLabel, reached
from graft.deployment.monitor.shadow_answers import is_shadow, shadow_agreement
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


def test_a_model_in_the_shadow_answers_for_the_log_alone(tmp_path: Path) -> None:
    async def main() -> list[dict[str, object]]:
        metrics = Metrics()
        champion = Champion(Registry(), 1000, metrics)  # type: ignore[arg-type]
        challenger = Champion(Registry(), 1000, Metrics())  # type: ignore[arg-type]
        writer = LogWriter(PredictionLog(tmp_path, LogParams()), PARAMS.log_buffer_bytes, metrics)
        app = create_app(
            champion, PARAMS, Access("127.0.0.1", None), metrics, lambda: None, writer, challenger=challenger
        )
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client,
        ):
            while champion.model is None or challenger.model is None:
                await asyncio.sleep(0.001)
            champion.model, challenger.model = model("1"), model("1")
            await client.post("/predict", content=IMAGES[0], headers=PNG)  # of itself nothing is asked
            opposite = model("2")
            opposite.classifier.classes = ("dark", "bright")  # type: ignore[assignment]
            challenger.model = opposite
            answers = [await client.post("/predict", content=data, headers=PNG) for data in IMAGES[1:]]
            for _ in range(1000):
                if len(opposite.classifier.batches) == 3:  # type: ignore[attr-defined]
                    break
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.05)
        return [answer.json() for answer in answers]

    assert {one["version"] for one in asyncio.run(main())} == {"1"}
    log = PredictionLog(tmp_path, LogParams())
    rows = list(log.read())
    assert [row.model for row in rows if is_shadow(row)] == ["levels version 2 (shadow)"] * 3
    assert sum(not is_shadow(row) for row in rows) == 4
    found = shadow_agreement(log)
    assert (found.images, found.same, found.shadow) == (3, 0.0, "levels version 2 (shadow)")
    assert sum(count for _, _, count in found.differing) == 3
    # What people were given counts, and what the shadow said stands beside it.
    truth = {row.image.sha256: TrueLabel(row.label, row.image.sha256) for row in rows if not is_shadow(row)}
    reach = reached(log, truth)
    assert reach.total is not None
    assert (reach.total.images, reach.total.right) == (4, 1)
    assert [(one.name, one.right) for one in reach.models][-1] == ("levels version 2 (shadow)", 0.0)
