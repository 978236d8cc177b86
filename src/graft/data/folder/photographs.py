"""The image files of folders that are no data set."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from graft.bundle.images import SUFFIXES
from graft.core.errors import GraftError


def images_below(folder: Path) -> Iterator[Path]:
    """The image files in a folder and below it, hidden ones passed over, in a fixed order.

    Links to folders are not followed. No more than the names of one folder are held in memory.

    Raises:
        GraftError: there are none.
    """
    found = False
    for here, subfolders, files in os.walk(folder):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in sorted(files):
            if is_image_name(name):
                found = True
                yield Path(here) / name
    if not found:
        raise GraftError(f"The folder {folder} holds no images", f"Those end in {', '.join(sorted(SUFFIXES))}")


def is_image_name(name: str) -> bool:
    """Whether a file of that name is taken for an image: by its ending, hidden ones never."""
    return not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES
