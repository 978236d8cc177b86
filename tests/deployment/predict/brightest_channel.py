"""A classifier that is right by construction, and photographs for it: it answers with the brightest channel."""

import io

import numpy as np
from PIL import Image

from graft.bundle.images import decode

CLASSES = ["red", "green", "blue"]


class Brightest:
    """Of the same interface as graft.bundle.model.ImageClassifier."""

    def __init__(self, sizes: tuple[int, ...] = (8,)) -> None:
        self.classes = list(CLASSES)
        self.image_sizes = list(sizes)
        self.chunks: list[int] = []

    def to_pixels(self, item: bytes) -> dict[int, np.ndarray]:
        return {size: decode(item, size) for size in self.image_sizes}

    def answers(self, pixels: dict[int, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        images = pixels[self.image_sizes[0]]
        self.chunks.append(len(images))
        means = images.mean(axis=(1, 2), dtype=np.float64)
        return np.asarray(means / means.sum(axis=1, keepdims=True), np.float32), means.argmax(axis=1)


def coloured(channel: int) -> bytes:
    colour = [30, 30, 30]
    colour[channel] = 200
    stream = io.BytesIO()
    Image.new("RGB", (9, 7), tuple(colour)).save(stream, "PNG")
    return stream.getvalue()
