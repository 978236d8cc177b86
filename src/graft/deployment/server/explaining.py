"""Explain one photograph to whoever asks: where the model looked, as a picture."""

import asyncio
import io
from concurrent.futures import ThreadPoolExecutor

from PIL import Image

from graft.bundle.images import WHOLE, open_image, orientation
from graft.deployment.server.admission import BusyError
from graft.deployment.server.served_model import Pixels, ServedModel
from graft.networks.explain.heat_maps import HeatMaps
from graft.networks.explain.heat_picture import heat_picture

# Requests that may wait for their picture: each takes a tenth of a second, the first of a model some.
MOST_WAITING = 8


class Explainer:
    """A drawer of heat maps, one at a time in a thread of its own, so that predictions never wait for one."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="explain")
        self._waiting = 0
        self._opened: tuple[ServedModel, HeatMaps] | None = None

    async def picture(self, model: ServedModel, image: bytes, pixels: Pixels, label: int) -> bytes:
        """Return a photograph, of its own proportions, with what speaks for a class, as the bytes of a JPEG.

        Args:
            image: its file's bytes.
            pixels: what the network sees of it.
            label: index of the class.

        Raises:
            BusyError: too many wait already.
            NoHeatMapError: the model's network has none.
        """
        if self._waiting >= MOST_WAITING:
            raise BusyError("too many wait for their pictures")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._thread, self._draw, model, image, pixels, label
            )
        finally:
            self._waiting -= 1

    def stop(self) -> None:
        """Take no more; what is being drawn is nobody's any more."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _draw(self, model: ServedModel, image: bytes, pixels: Pixels, label: int) -> bytes:
        if self._opened is None or self._opened[0] is not model:
            self._opened = model, HeatMaps(model.source.bundle)
        network = self._opened[1]
        (heat,) = network.of({size: one[None] for size, one in pixels.items()}, [label])
        side = max(pixels)
        seen = Image.fromarray(pixels[side])
        if network.view == WHOLE:  # squeezed into a square; of others the square is what it is
            width, height = _upright_size(image, model.classifier.max_pixels)
            longer = max(width, height)
            seen = seen.resize((max(1, side * width // longer), max(1, side * height // longer)))
        stream = io.BytesIO()
        heat_picture(seen, heat, WHOLE, side).save(stream, "JPEG", quality=85)
        return stream.getvalue()


def _upright_size(image: bytes, max_pixels: int) -> tuple[int, int]:
    """Return width and height of a photograph as it is to be seen, from its header."""
    opened = open_image(image, max_pixels)
    width, height = opened.size
    is_turned = orientation(opened) >= 5  # by 90 degrees either way
    return (height, width) if is_turned else (width, height)
