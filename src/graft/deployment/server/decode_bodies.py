"""From an image file's bytes to pixels: as many at a time as there are cores, and within a bound on memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from graft.bundle.images import UnreadableImageError, open_image
from graft.deployment.server.served_model import Pixels, ServedModel


class PixelBudget:
    """Bounds the pixels that are decoded at a time, in all threads together.

    A file of a few hundred kilobytes may hold any number of pixels, and each takes 6 to 28 bytes while it is decoded
    (28 in 16 bits a channel; measured), so a limit for each image alone would have to be small, or let memory grow
    with the cores.

    Args:
        total: pixels; the most that one image may have.
    """

    def __init__(self, total: int) -> None:
        self._free = total
        self._changed = threading.Condition()
        self._turn = threading.Lock()

    @contextmanager
    def taken(self, pixels: int) -> Iterator[None]:
        """Waits until so many are free, and holds them during the block; ``pixels`` is at most the total."""
        # One waits at a time, so that smaller ones never overtake a large one for ever.
        with self._turn, self._changed:
            self._changed.wait_for(lambda: self._free >= pixels)
            self._free -= pixels
        try:
            yield
        finally:
            with self._changed:
                self._free += pixels
                self._changed.notify_all()


def decode_image(model: ServedModel, data: bytes, max_pixels: int, budget: PixelBudget) -> Pixels:
    """An image file's bytes as the model wants them.

    Raises:
        UnreadableImageError: it is no image that can be read, or one of more than ``max_pixels``, or than the model's
            own limit.
    """
    width, height = open_image(data, min(max_pixels, model.classifier.max_pixels)).size  # looks at the header alone
    with budget.taken(width * height):
        try:
            return model.classifier.to_pixels(data)
        except UnreadableImageError:
            raise
        except (Exception, MemoryError) as error:
            # Readers of seven formats over bytes from anywhere: what they raise says something about the bytes.
            raise UnreadableImageError(f"not an image that can be read ({type(error).__name__})") from error
