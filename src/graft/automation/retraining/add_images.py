"""New images in data/ of a worktree."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

from graft.automation.retraining.checking import NewImage
from graft.core.errors import GraftError
from graft.core.files import sha256_of
from graft.core.progress import progress_bar
from graft.core.project import Project


def grow(own: Project, images: Sequence[NewImage]) -> None:
    """Add images to data/ of a worktree; `dvc repro` takes them into data.dvc.

    Raises:
        GraftError: an image is in the way, or it is not what was checked.
        OSError: the disk is full.
    """
    with progress_bar("New images", len(images)) as advance:
        for image in images:
            place = own.data / image.target
            if place.exists():
                raise GraftError(
                    f"data/{image.target} is there already", "Run it again: data/ has changed meanwhile"
                )
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(image.file, place)
            if sha256_of(place) != image.sha256:
                raise GraftError(
                    f"{image.file} reads with other bytes than before", "Run it again; check that disk"
                )
            advance(1)
