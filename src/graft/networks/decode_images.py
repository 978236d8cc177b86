"""Images of a split as one array: decoded and resized once, then read by every epoch."""

from __future__ import annotations

import hashlib
import math
import mmap
import os
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from graft.bundle.images import UnreadableImageError, decode
from graft.core.download.verified import read_verified
from graft.core.errors import GraftError
from graft.core.progress import progress_bar
from graft.core.project import Project
from graft.core.quotas import cores
from graft.core.timing import StageClock

if TYPE_CHECKING:
    import pandas as pd

# Up to here arrays are held in memory, above in a temporary file that the operating system pages in and out: as much
# as TensorFlow takes anyway, so that memory stays what it is however many images there are.
IN_MEMORY_BYTES = 256 * 1024**2
ROWS_BETWEEN_RELEASES = 32


class KeyedImages(Protocol):
    """Images under the hashes of their files, of which some can be had at a time."""

    def __len__(self) -> int: ...

    @property
    def keys(self) -> Sequence[bytes]:
        """SHA-256 of each image's file, 32 bytes."""
        ...

    def at(self, indices: np.ndarray) -> np.ndarray:
        """Return the pixels of some images, uint8 ``[n, S, S, 3]``."""
        ...


class LabelledImages(KeyedImages, Protocol):
    """Keyed images with their class indices, and all at once; decoded no sooner than they are asked for."""

    @property
    def labels(self) -> np.ndarray:
        """Class indices, int ``[N]``."""
        ...

    @property
    def inputs(self) -> np.ndarray:
        """Pixels of all, uint8 ``[N, S, S, 3]``."""
        ...


class DecodedImages:
    """Images that are pixels already; their keys are hashes of these."""

    def __init__(self, inputs: np.ndarray, labels: np.ndarray | None = None) -> None:
        self.inputs = inputs
        self.labels = np.zeros(len(inputs), np.int64) if labels is None else labels

    def __len__(self) -> int:
        return len(self.inputs)

    @cached_property
    def keys(self) -> Sequence[bytes]:
        return [hashlib.sha256(np.ascontiguousarray(image).data).digest() for image in self.inputs]

    def at(self, indices: np.ndarray) -> np.ndarray:
        return rows_of(self.inputs, indices)


class Photographs:
    """The images of one split, in files.

    Args:
        root, paths, sha256, size, label: as :func:`load_images` takes them.
        labels: class indices ``[N]``; none gives all images class 0.
        clock: where decoding all of them is counted, as ``decode <split>``.
    """

    def __init__(
        self,
        root: Path,
        paths: Sequence[str],
        sha256: Sequence[str],
        size: int,
        labels: np.ndarray | None = None,
        label: str = "",
        clock: StageClock | None = None,
        split: str = "",
    ) -> None:
        self.labels = np.zeros(len(paths), np.int64) if labels is None else labels
        self.keys = [bytes.fromhex(digest) for digest in sha256]
        self.root, self.paths, self._sha256, self.size = root, paths, sha256, size
        self._label, self._clock, self._split = label, clock, split

    @classmethod
    def of(cls, project: Project, table: pd.DataFrame, size: int, **more: Any) -> Photographs:
        """Return the photographs that a table names by path and sha256; ``more`` as the class takes it."""
        return cls(project.data, list(table["path"]), list(table["sha256"]), size, **more)

    def __len__(self) -> int:
        return len(self.keys)

    def at_size(self, size: int) -> Photographs:
        """Return the photographs at another size."""
        if size == self.size:
            return self
        return Photographs(
            self.root, self.paths, self._sha256, size, self.labels, self._label, self._clock, self._split
        )

    @cached_property
    def inputs(self) -> np.ndarray:
        """Pixels of all, decoded at the first use; raises as :func:`load_images` does."""
        with self._clock.span(f"decode {self._split}") if self._clock else nullcontext():
            return load_images(self.root, self.paths, self._sha256, self.size, self._label)

    def at(self, indices: np.ndarray) -> np.ndarray:
        """Return the pixels of some images; decode them now, unless all of them are there."""
        if "inputs" in self.__dict__:
            return rows_of(self.inputs, indices)
        paths, sha256 = [self.paths[index] for index in indices], [self._sha256[index] for index in indices]
        return load_images(self.root, paths, sha256, self.size)


def load_images(
    root: Path,
    paths: Sequence[str],
    sha256: Sequence[str],
    size: int,
    label: str = "",
    in_memory_bytes: int = IN_MEMORY_BYTES,
) -> np.ndarray:
    """Return the pixels of the images in order, uint8 ``[N, size, size, 3]``, RGB; decoded in parallel threads.

    Args:
        root: the folder that ``paths`` are relative to.
        sha256: of each file, hexadecimal: the bytes that are decoded are those, or this raises.
        size: side in pixels.
        label: what the progress bar calls them; none is shown without.
        in_memory_bytes: see :func:`large_array`.

    Raises:
        GraftError: a file is gone, no longer readable or another one, so that the data is not what was validated;
            or the disk has no room for the temporary file.
    """
    images = large_array((len(paths), size, size, 3), np.uint8, in_memory_bytes)

    def load(index: int) -> None:
        data = read_verified(root, paths[index], sha256[index])
        try:
            # How many pixels an image may have was params.validate's question.
            images[index] = decode(data, size, max_pixels=sys.maxsize)
        except UnreadableImageError as error:
            raise GraftError(
                f"{root.name}/{paths[index]} cannot be read any more ({error})",
                "The data changed since it was validated: run `dvc repro` again",
            ) from error

    # Pillow lets go of the interpreter lock while it decodes, so threads do work side by side.
    bar = progress_bar(label, len(paths)) if label else nullcontext(lambda steps: None)
    with ThreadPoolExecutor(cores()) as pool, bar as advance:
        for done, _ in enumerate(pool.map(load, range(len(paths))), 1):
            if done % ROWS_BETWEEN_RELEASES == 0:
                release_pages(images)
            advance(1)
    return images


def large_array(shape: tuple[int, ...], dtype: Any, in_memory_bytes: int = IN_MEMORY_BYTES) -> np.ndarray:
    """Return an array to be filled; above ``in_memory_bytes`` it lies in a temporary file that vanishes with the
    process.

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
            f"The images of one split, or what a network made of them, need {size / 1024**3:.1f} GiB in "
            f"{tempfile.gettempdir()} ({error.strerror})",
            "Free some space there, or lower image_size, or views, in params.yaml",
        ) from error


def rows_of(array: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Copy some rows; where the array lies in a file, give its pages back after every few of them.

    A row that is read brings what lies around it into the process's memory, up to megabytes with large pages, so that
    a thousand rows from all over a file would be all of the file.
    """
    if not isinstance(array, np.memmap):
        return np.asarray(array[indices])
    found = np.empty((len(indices), *array.shape[1:]), array.dtype)
    for start in range(0, len(indices), ROWS_BETWEEN_RELEASES):
        part = slice(start, start + ROWS_BETWEEN_RELEASES)
        found[part] = array[indices[part]]
        release_pages(array)
    return found


def rows_among(arrays: Sequence[np.ndarray], places: np.ndarray) -> np.ndarray:
    """Copy some rows of arrays that follow one another, by their places among all of them, as :func:`rows_of` does."""
    found = np.empty((len(places), *arrays[0].shape[1:]), arrays[0].dtype)
    start = 0
    for array in arrays:
        here = (places >= start) & (places < start + len(array))
        found[here] = rows_of(array, places[here] - start)
        start += len(array)
    return found


def release_pages(array: np.ndarray) -> None:
    """Let the operating system have the pages of an array that lies in a file; leave other arrays as they are.

    What was written stays written: it is in the file, and comes back from there. Without this, a process that goes
    once through a file keeps all of it among its own memory until another process asks for that. Not for arrays that
    are copied on write, whose changes are nowhere else.
    """
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):  # not on Windows
        base.madvise(mmap.MADV_DONTNEED)
