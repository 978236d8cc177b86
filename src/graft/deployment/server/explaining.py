"""Explain one photograph to whoever asks: where the model looked, as a picture."""

import asyncio
import io
from concurrent.futures import ThreadPoolExecutor

from PIL import Image

from graft.bundle.images import WHOLE
from graft.deployment.server.admission import BusyError
from graft.deployment.server.served_model import Pixels, ServedModel
from graft.networks.explain.heat_maps import HeatMaps
from graft.networks.explain.heat_picture import heat_picture

# Requests that may wait for their picture: each takes a tenth of a second, the first of a model some.
MOST_WAITING = 8


class Explainer:
    """What draws heat maps, one at a time in a thread of its own, so that predictions never wait for one."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="explain")
        self._waiting = 0
        self._opened: tuple[ServedModel, HeatMaps] | None = None

    async def picture(self, model: ServedModel, pixels: Pixels, label: int) -> bytes:
        """Return a decoded photograph, as the network sees it, with what speaks for a class, as the bytes of a JPEG.

        Args:
            label: index of the class.

        Raises:
            BusyError: too many wait already.
            NoHeatMapError: the model's network has none.
        """
        if self._waiting >= MOST_WAITING:
            raise BusyError("too many wait for their pictures")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._draw, model, pixels, label)
        finally:
            self._waiting -= 1

    def stop(self) -> None:
        """Take no more; what is being drawn is nobody's any more."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _draw(self, model: ServedModel, pixels: Pixels, label: int) -> bytes:
        if self._opened is None or self._opened[0] is not model:
            self._opened = model, HeatMaps(model.source.bundle)
        (heat,) = self._opened[1].of({size: one[None] for size, one in pixels.items()}, [label])
        side = max(pixels)
        picture = heat_picture(Image.fromarray(pixels[side]), heat, WHOLE, side)
        stream = io.BytesIO()
        picture.save(stream, "JPEG", quality=85)
        return stream.getvalue()
