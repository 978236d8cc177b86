"""data/ with new images in it, put in the place of data/ as a whole.

The new folder is made of hard links to what data/ holds, which take no room and keep what DVC knows of each file, and
of the new images. So a kill leaves the old data/ or the new one, never a part (:mod:`graft.data.swap`). A link moves a
file's inode-change time, so that the next scan hashes it once more, and decodes nothing.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from ruamel.yaml import YAML

from graft.data import swap, versioning
from graft.errors import GraftError
from graft.progress import progress_bar
from graft.project import Project
from graft.retraining.checking import NewImage


def grow(project: Project, images: Sequence[NewImage]) -> None:
    """Adds images to data/, and tracks it with DVC.

    Args:
        project: whose data/ is tracked as it is now.
        images: from :mod:`graft.retraining.checking`; no two have one target, and none has that of a file in data/.

    Raises:
        GraftError: another command brings data in, an image is in the way, or DVC refuses.
        OSError: the disk is full, or cannot be written.
    """
    with swap.exclusive(project), swap.incoming(project) as folder:
        _link(project.data, folder)
        with progress_bar("New images", len(images)) as advance:
            for image in images:
                place = folder / image.target
                place.parent.mkdir(parents=True, exist_ok=True)
                if place.exists():
                    raise GraftError(
                        f"data/{image.target} is there already", "Run it again: data/ has changed meanwhile"
                    )
                shutil.copyfile(image.file, place)
                advance(1)
        swap.put_in_place(project, _meta(project))


def _link(source: Path, target: Path) -> None:
    """Puts all of ``source`` into ``target`` too: links as links, files as hard links or, without these, copies."""
    for folder, folders, files in os.walk(source):
        below = target / Path(folder).relative_to(source)
        for name in folders:
            path = Path(folder, name)
            if path.is_symlink():
                (below / name).symlink_to(path.readlink())
            else:
                (below / name).mkdir()
        for name in files:
            path = Path(folder, name)
            try:
                os.link(path, below / name, follow_symlinks=False)
            except OSError:
                shutil.copy2(path, below / name, follow_symlinks=False)


def _meta(project: Project) -> dict[str, str]:
    """What data.dvc says about the data set, which growth does not change."""
    document = YAML(typ="safe").load(versioning.pointer_file(project).read_text(encoding="utf-8"))
    meta = document.get("meta")
    return {str(key): str(value) for key, value in meta.items()} if isinstance(meta, dict) else {}
