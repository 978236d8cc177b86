"""Where the model looked, for whoever asks the server: a picture, a refusal, or no room."""

import asyncio
import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, cast

import numpy as np
import pytest
from PIL import Image

from graft.bundle.images import WHOLE
from graft.deployment.server import explaining
from graft.deployment.server.admission import BusyError
from graft.deployment.server.explaining import MOST_WAITING, Explainer
from graft.deployment.server.served_model import ServedModel
from graft.networks.explain.heat_maps import NoHeatMapError


def turned_photograph() -> bytes:
    """Of 40 x 20 pixels, to be seen as 20 x 40."""
    stream, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 20), (90, 90, 90)).save(stream, "JPEG", exif=exif)
    return stream.getvalue()


PHOTOGRAPH = turned_photograph()
PIXELS = {8: np.full((8, 8, 3), 90, np.uint8), 16: np.full((16, 16, 3), 90, np.uint8)}


class Heats:
    """A stand-in that is hot in the upper half."""

    opened: ClassVar[list[Path]] = []
    view = WHOLE

    def __init__(self, bundle: Path) -> None:
        self.opened.append(bundle)
        if bundle.name == "without":
            raise NoHeatMapError("This network has no heat map: it is a stand-in", "Take another")

    def of(self, pixels: dict[int, np.ndarray], classes: list[int]) -> list[np.ndarray]:
        assert {size: images.shape for size, images in pixels.items()} == {8: (1, 8, 8, 3), 16: (1, 16, 16, 3)}
        return [np.array([[1.0, 1.0], [0.0, 0.0]], np.float32)]


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explaining, "HeatMaps", Heats)
    Heats.opened.clear()


def model(name: str) -> ServedModel:
    opened = SimpleNamespace(max_pixels=10_000)
    return cast(ServedModel, SimpleNamespace(source=SimpleNamespace(bundle=Path(name)), classifier=opened))


def test_a_picture_is_drawn_and_a_model_opened_once() -> None:
    async def ask(explainer: Explainer, served: ServedModel) -> list[bytes]:
        return [await explainer.picture(served, PHOTOGRAPH, PIXELS, 0) for _ in range(2)]

    explainer = Explainer()
    found = asyncio.run(ask(explainer, model("with")))
    explainer.stop()
    assert len(Heats.opened) == 1
    picture = np.asarray(Image.open(io.BytesIO(found[0])).convert("RGB"), np.int16)
    assert picture.shape == (16, 8, 3)  # upright, and as narrow as the photograph
    assert (picture[1, :, 0] - picture[1, :, 2]).min() > 60 > 10 > abs(picture[15, :, 0] - picture[15, :, 2]).max()


def test_a_network_without_maps_says_so() -> None:
    async def ask(explainer: Explainer) -> Any:
        return await explainer.picture(model("without"), PHOTOGRAPH, PIXELS, 0)

    explainer = Explainer()
    with pytest.raises(NoHeatMapError, match="stand-in"):
        asyncio.run(ask(explainer))
    explainer.stop()


def test_only_so_many_wait() -> None:
    async def ask(explainer: Explainer) -> list[Any]:
        served = model("with")
        return list(
            await asyncio.gather(
                *(explainer.picture(served, PHOTOGRAPH, PIXELS, 0) for _ in range(MOST_WAITING + 3)),
                return_exceptions=True,
            )
        )

    explainer = Explainer()
    found = asyncio.run(ask(explainer))
    explainer.stop()
    assert [isinstance(one, BusyError) for one in found] == [False] * MOST_WAITING + [True] * 3
