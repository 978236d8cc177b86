"""Pictures that look like something: series of frames that differ by a little, as of one hand before a camera."""

from pathlib import Path

import numpy as np
from PIL import Image


def scene(seed: int, size: tuple[int, int] = (96, 96)) -> Image.Image:
    """Smooth blobs of colour that follow from the seed; different seeds are unlike in hash and in thumbnail."""
    width, height = size
    blobs = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), np.uint8)
    return Image.fromarray(blobs).resize((width, height), Image.Resampling.BICUBIC)


def frame(seed: int, number: int) -> Image.Image:
    """A frame of a scene's series: a grey level brighter with each, and one pixel of its own."""
    pixels = np.asarray(scene(seed)).astype(np.int16) + number % 3
    pixels[number // 96, number % 96] = 255
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def write_picture(picture: Image.Image, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)
    return path


def write_series(folder: Path, name: str, seed: int, frames: int) -> None:
    """``name-000.png``, ``name-001.png``, ... of one scene."""
    for number in range(frames):
        write_picture(frame(seed, number), folder / f"{name}-{number:03d}.png")
