"""Images of a split as one array: decoded and resized once, then read by every epoch."""

from __future__ import annotations

import math
import os
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from graft.errors import GraftError
from graft.inference.images import UnreadableImageError, decode
from graft.progress import progress_bar
from graft.timing import StageClock

# Up to here images are held in memory, above in a temporary file that the operating system pages in and out.
IN_MEMORY_BYTES = 2 * 1024**3


class ImagesOnDemand:
    """The images of one split with their class indices, decoded when they are first asked for.

    Args:
        root, paths, size, label: as :func:`load_images` takes them.
        labels: class indices ``[N]``.
        clock: where the decoding is counted, as ``span``.
    """

    def __init__(
        self,
        root: Path,
        paths: Sequence[str],
        size: int,
        label: str,
        labels: np.ndarray,
        clock: StageClock,
        span: str,
    ) -> None:
        self.labels = labels
        self._arguments = (root, paths, size, label)
        self._clock, self._span = clock, span

    @cached_property
    def inputs(self) -> np.ndarray:
        """uint8 ``[N, size, size, 3]``; raises as :func:`load_images` does."""
        with self._clock.span(self._span):
            return load_images(*self._arguments)


def load_images(
    root: Path, paths: Sequence[str], size: int, label: str, in_memory_bytes: int = IN_MEMORY_BYTES
) -> np.ndarray:
    """Pixels of the images in order, uint8 ``[N, size, size, 3]``, RGB; decoded in parallel threads.

    Args:
        root: the folder that ``paths`` are relative to.
        paths: one per image, with forward slashes.
        size: side in pixels.
        label: what the progress bar calls them.
        in_memory_bytes: see :func:`large_array`.

    Raises:
        GraftError: a file is gone or no longer readable, so that the data is not what was validated; or the
            disk has no room for the temporary file.
    """
    images = large_array((len(paths), size, size, 3), np.uint8, in_memory_bytes)

    def load(index: int) -> None:
        try:
            # How many pixels an image may have was params.validate's question.
            images[index] = decode((root / paths[index]).read_bytes(), size, max_pixels=sys.maxsize)
        except (OSError, UnreadableImageError) as error:
            raise GraftError(
                f"{root.name}/{paths[index]} cannot be read any more ({error})",
                "The data changed since it was validated: run `dvc repro` again",
            ) from error

    # Pillow lets go of the interpreter lock while it decodes, so threads do work side by side.
    with ThreadPoolExecutor() as pool, progress_bar(label, len(paths)) as advance:
        for _ in pool.map(load, range(len(paths))):
            advance(1)
    return images


def large_array(shape: tuple[int, ...], dtype: Any, in_memory_bytes: int = IN_MEMORY_BYTES) -> np.ndarray:
    """An array to be filled; above ``in_memory_bytes`` it lies in a temporary file that vanishes with the process.

    Raises:
        GraftError: the disk has no room for that file.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size <= in_memory_bytes:
        return np.empty(shape, dtype)
    try:
        with tempfile.TemporaryFile() as file:
            file.truncate(size)
            if hasattr(os, "posix_fallocate"):  # not on macOS
                # Without room reserved, a full disk would end the process by a signal, at some later write.
                os.posix_fallocate(file.fileno(), 0, size)
            return np.memmap(file, dtype, "r+", shape=shape)
    except OSError as error:
        raise GraftError(
            f"The images of one split need {size / 1024**3:.1f} GiB in {tempfile.gettempdir()} ({error.strerror})",
            "Free some space there, name another folder in TMPDIR, or lower image_size in params.yaml",
        ) from error
