"""Read and apply what a delivery says of images beside its own, in tables beside its class folders.

::

    classes.csv       column label: classes that data/ does not have yet, and that its images bring
    corrections.csv   columns sha256 and label: images of data/ that show another class than the one they lie in
    withdraw.csv      column sha256: images that have to go, from data/ and from everything that was made of them

What was withdrawn stands in ``withdrawn.csv`` beside data.dvc from then on, in git: SHA-256, MD5 (by which DVC's cache
knew the file) and when. No delivery brings such an image back, and :mod:`graft.automation.retraining.forget` removes
what is left of it.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from graft.automation.retraining.unpacking import LeftOutFile
from graft.core.errors import GraftError
from graft.core.files import md5_of, sha256_of, write_file
from graft.core.outside import is_sha256, path_below
from graft.core.project import Project
from graft.core.text_tables import read_text_table
from graft.core.wording import counted
from graft.data.folder.layout import read_layout

if TYPE_CHECKING:
    import pandas as pd

CLASSES, CORRECTIONS, WITHDRAW = "classes.csv", "corrections.csv", "withdraw.csv"
_COLUMNS = {CLASSES: ["label"], CORRECTIONS: ["sha256", "label"], WITHDRAW: ["sha256"]}
WITHDRAWN_FILE = "withdrawn.csv"
_NAMED = 3


@dataclass
class DataChanges:
    """Changes that a delivery asks for in images of data/: corrected labels, removals, withdrawals.

    Attributes:
        classes: names that are new.
        corrections: by SHA-256, what the image shows.
        withdrawn: SHA-256 of images that have to go.
        files: SHA-256 of the tables that say so.
        removed: SHA-256 of images that leave data/, and are nothing to hide.
    """

    classes: list[str] = field(default_factory=list)
    corrections: dict[str, str] = field(default_factory=dict)
    withdrawn: set[str] = field(default_factory=set)
    files: set[str] = field(default_factory=set)
    removed: set[str] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.corrections or self.withdrawn or self.removed)

    def in_words(self) -> list[str]:
        """Return what is changed, a few words each."""
        found = []
        if self.corrections:
            found.append(f"{counted(len(self.corrections), 'label')} corrected")
        if self.removed:
            found.append(f"{counted(len(self.removed), 'image')} removed")
        if self.withdrawn:
            found.append(f"{counted(len(self.withdrawn), 'image')} withdrawn")
        return found


def split_off(astray: Sequence[LeftOutFile]) -> tuple[DataChanges, list[LeftOutFile]]:
    """Return what the tables among a delivery's other files say, and the files that are none.

    Raises:
        GraftError: a table is none, or says what cannot be.
    """
    tables = {PurePosixPath(one.path).name: one for one in astray if PurePosixPath(one.path).name in _COLUMNS}
    found = DataChanges(files={sha256_of(one.file) for one in tables.values()})
    for name, one in tables.items():
        try:
            table = read_text_table(one.file, f"a table {name}", "Write it anew", columns=_COLUMNS[name])
        except GraftError as error:  # as whoever delivered it knows it
            raise GraftError(error.what.replace(str(one.file), one.path), "Write it anew") from None
        if "sha256" in table and not table["sha256"].map(is_sha256).all():
            raise GraftError(f"{one.path} holds what is no SHA-256", "Name images by the SHA-256 of their files")
        if "label" in table and (bad := [label for label in table["label"] if not _is_name(label)]):
            raise GraftError(f"{one.path} names the class {bad[0]!r}", "Name classes as folders can be named")
        if name == CLASSES:
            found.classes = sorted(set(table["label"]))
        elif name == CORRECTIONS:
            pairs = set(zip(table["sha256"], table["label"], strict=True))
            found.corrections = dict(pairs)
            if len(found.corrections) < len(pairs):
                raise GraftError(f"{one.path} gives an image two labels", "Decide on one")
        else:
            found.withdrawn = set(table["sha256"])
    if both := found.withdrawn & found.corrections.keys():
        raise GraftError(f"It corrects and withdraws {min(both)[:12]}...", "Decide on one")
    return found, [one for one in astray if one not in tables.values()]


def effective(changes: DataChanges, labels: Mapping[str, str], gone: Iterable[str]) -> tuple[DataChanges, list[str]]:
    """Return what is left to do of changes, and what a person should know, a sentence each.

    Args:
        labels: of the images of data/, by SHA-256.
        gone: SHA-256 of images that were withdrawn before.

    Raises:
        GraftError: a correction names a class that data/ does not have and the delivery does not add.
    """
    known = {*labels.values(), *changes.classes}
    if strange := sorted(set(changes.corrections.values()) - known):
        raise GraftError(
            f"{CORRECTIONS} names the class '{strange[0]}', which data/ does not have",
            f"Add it by a table {CLASSES} in the delivery, if it is one",
        )
    missing = [one for one in (*changes.corrections, *(changes.withdrawn - set(gone))) if one not in labels]
    corrections = {one: label for one, label in changes.corrections.items() if labels.get(one, label) != label}
    withdrawn = (changes.withdrawn & labels.keys()) | (changes.withdrawn - set(gone))
    notes = [f"{counted(len(missing), 'image')} that it names are not in data/."] if missing else []
    removed = changes.removed & labels.keys()
    return DataChanges(changes.classes, corrections, withdrawn, changes.files, removed), notes


def apply_changes(own: Project, changes: DataChanges, places: Mapping[str, Sequence[str]]) -> None:
    """Move corrected images of data/ to their class folders, remove withdrawn ones, and write down the latter.

    Args:
        own: whose data/ is changed: a worktree, or the user's own.
        places: paths below data/ by SHA-256, also of images that the checks leave out.

    Raises:
        GraftError: an image has changed.
    """
    class_folder = 1 if read_layout(own.data).is_official else 0
    for sha256, label in changes.corrections.items():
        for place in places.get(sha256, ()):
            file = _checked(own, place, sha256)
            parts = list(PurePosixPath(place).parts)
            parts[class_folder] = label
            target = own.data / PurePosixPath(*parts)
            if target.exists():
                target = target.with_name(f"{target.stem}_{sha256[:8]}{target.suffix}")
            target.parent.mkdir(parents=True, exist_ok=True)
            file.rename(target)
    for sha256 in changes.removed:
        for place in places.get(sha256, ()):
            _checked(own, place, sha256).unlink()
    rows = list(read_withdrawn(own).values())
    known = {row["sha256"] for row in rows}
    now = datetime.now(UTC).isoformat(timespec="seconds")
    for sha256 in sorted(changes.withdrawn):
        md5 = ""
        for place in places.get(sha256, ()):
            file = _checked(own, place, sha256)
            md5 = md5_of(file)
            file.unlink()
        if sha256 not in known:
            rows.append({"sha256": sha256, "md5": md5, "withdrawn": now})
    if changes.withdrawn:
        lines = ["sha256,md5,withdrawn", *(f"{row['sha256']},{row['md5']},{row['withdrawn']}" for row in rows)]
        write_file(own.root / WITHDRAWN_FILE, "\n".join(lines) + "\n")


def places_of(rows: pd.DataFrame) -> dict[str, list[str]]:
    """Return the paths below data/ of a manifest's images, by SHA-256."""
    found: dict[str, list[str]] = {}
    for sha256, path in zip(rows["sha256"], rows["path"], strict=True):
        found.setdefault(sha256, []).append(path)
    return found


def read_withdrawn(project: Project) -> dict[str, dict[str, str]]:
    """Return the rows of withdrawn.csv by SHA-256: sha256, md5 and withdrawn (when, ISO 8601, UTC)."""
    try:
        with (project.root / WITHDRAWN_FILE).open(encoding="utf-8", newline="") as file:
            return {row["sha256"]: row for row in csv.DictReader(file)}
    except FileNotFoundError:
        return {}


def _checked(own: Project, place: str, sha256: str) -> Path:
    file = path_below(own.data, place, "The manifest")
    if sha256_of(file) != sha256:
        raise GraftError(f"data/{place} has changed meanwhile", "Run it again")
    return file


def _is_name(label: str) -> bool:
    return bool(label.strip()) and label not in (".", "..") and not set(label) & {"/", "\\", "\0", "\n", "\r"}
