"""Models and registries that are fast and do as they are told."""

import threading
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from graft.bundle.images import UnreadableImageError
from graft.core.errors import GraftError
from graft.deployment.server.served_model import ServedModel
from graft.deployment.server.watch_champion import Meant
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
