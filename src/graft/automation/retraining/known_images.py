"""Read which images data/ holds already, to compare deliveries with them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from graft.automation.retraining.data_changes import places_of, read_withdrawn
from graft.core.params.models import ValidateParams
from graft.core.project import Project
from graft.data.folder.layout import read_layout
from graft.data.scan.manifest import read_manifest
from graft.data.scan.scan_images import scan
from graft.data.splits.split_tables import read_split_table

if TYPE_CHECKING:
    import pandas as pd

    from graft.automation.retraining.checking import NewImage
    from graft.automation.retraining.data_changes import DataChanges


@dataclass
class ExistingImages:
    """The images that a delivery is compared with: those of data/, and those of deliveries accepted since.

    Attributes:
        images: the manifest of data/, with thumbnails, without what is left out.
        labels: by SHA-256, the class.
        paths: of all files in data/, folded to lower case: on many systems they would be one.
        classes: all class folders.
        train_folder: the name of the split folder that new images go to, ``""`` where there are no split folders.
        test: SHA-256 of the test images.
        places: paths of all files in data/ by SHA-256, also of those that the checks leave out.
        withdrawn: SHA-256 of images that have to stay away.
    """

    images: pd.DataFrame
    labels: dict[str, str]
    paths: set[str]
    classes: list[str]
    train_folder: str
    test: Collection[str]
    places: dict[str, list[str]] = field(default_factory=dict)
    withdrawn: set[str] = field(default_factory=set)

    def accept(self, images: Iterable[NewImage], changes: DataChanges) -> None:
        """Add images, and what is changed of others, to what the next delivery is compared with.

        Not to be called for a delivery that is refused.
        """
        self.classes = sorted({*self.classes, *changes.classes})
        self.labels |= changes.corrections
        self.withdrawn |= changes.withdrawn
        for sha256 in changes.withdrawn:
            self.labels.pop(sha256, None)
        for image in images:
            self.labels[image.sha256] = image.label
            self.paths.add(image.target.casefold())


def read_existing(project: Project, params: ValidateParams, manifest: Path) -> ExistingImages:
    """Scan data/, of which only new and changed files are opened.

    Args:
        manifest: a file to write what was found to.

    Raises:
        GraftError: data/ is empty or missing.
    """
    layout = read_layout(project.data)
    scan(layout, params, manifest, project.scan_memory)
    found = read_manifest(manifest, thumbnails=True)
    images = found[found["left_out"] == ""].reset_index(drop=True)
    train = next((name for name, split in layout.split_folders.items() if split == "train"), "")
    return ExistingImages(
        images=images,
        labels=dict(zip(images["sha256"], images["label"], strict=True)),
        paths={path.casefold() for path in found["path"]},
        classes=sorted(set(images["label"])),
        train_folder=train,
        test=_test_images(project, images),
        places=places_of(found),
        withdrawn=set(read_withdrawn(project)),
    )


def _test_images(project: Project, images: pd.DataFrame) -> set[str]:
    """Return the test images of the last split; before the first one, those of a test folder in data/."""
    table = project.split_table("test")
    if not table.is_file():
        return set(images.loc[images["split"] == "test", "sha256"])
    return {digest for origin in ("official", "new") for digest in read_split_table(table, origin)["sha256"]}
