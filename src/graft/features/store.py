"""The feature store: rows of numbers that a frozen network made of images, by the images' hashes.

::

    <folder>/<space>/space.json     what the rows are of: weights, cut, image size, view, ...
    <folder>/<space>/*.arrow        rows by key, see graft.features.shards

A space is one frozen network with all that decides what it answers; its name is a hash of that description, so that
other weights, another cut or another view are another space, and equal ones are shared by whoever asks. Within a
space the key of a row is the hash of the image's file, and nothing is ever changed: a new image is a new row.

Safe to delete at any time. Writers do not need to know of each other: each writes shards of its own, and a row that
two of them wrote is there twice. A shard is put in place whole; one that is torn all the same is removed, and its
rows are computed again.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from graft.errors import GraftError, first_line
from graft.features.shards import KEY_BYTES, SUFFIX, Shard, write_shard
from graft.progress import console

DESCRIPTION_FILE = "space.json"
# What describes a space is written down in this form; another form is another space.
FORMAT = 1


class FeatureStore:
    """All spaces, and the limit that they share.

    Args:
        folder: where it lies.
        limit_bytes: above it, the shards that were not used for the longest time go.
    """

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self.folder = folder
        self.limit_bytes = limit_bytes

    def space(self, description: Mapping[str, Any], label: str = "") -> Space:
        """The space of what ``description`` (JSON-ready) decides; ``label`` tells people what that is."""
        text = json.dumps({"format": FORMAT, **description}, sort_keys=True)
        written = json.dumps({"label": label, **json.loads(text)}, indent=1)
        return Space(self.folder / hashlib.sha256(text.encode()).hexdigest()[:24], written, self)

    def shards(self) -> list[Path]:
        """Files of all shards, those used longest ago first."""
        found = []
        for path in self.folder.glob(f"*/*{SUFFIX}"):
            with suppress(OSError):  # another process may have pruned it
                found.append((path.stat().st_mtime_ns, path))
        return [path for _, path in sorted(found)]

    def bytes_used(self) -> int:
        """Of all shards together."""
        return sum(_size(path) for path in self.shards())

    def spaces(self) -> list[SpaceInfo]:
        """What each space is of, and how much there is of it."""
        found = []
        for folder in sorted(self.folder.glob("*/")):
            paths = list(folder.glob(f"*{SUFFIX}"))
            try:
                description = json.loads((folder / DESCRIPTION_FILE).read_text(encoding="utf-8"))
            except (OSError, ValueError):
                description = {}
            space = Space(folder, "", self)
            sizes = [_size(path) for path in paths]
            used = max((path.stat().st_mtime for path in paths if path.exists()), default=0.0)
            found.append(SpaceInfo(description, len(space), sum(sizes), used))
        return found

    def verify(self, path: Path) -> bool:
        """Whether every row of a shard is what was written; a shard of which that is not so is removed."""
        try:
            shard = Shard(path)
            is_whole = bool(shard.rows(np.arange(len(shard.keys)))[1].all())
        except GraftError:
            is_whole = False
        if not is_whole:
            with suppress(OSError):
                path.unlink()
        return is_whole

    def prune(self, limit_bytes: int | None = None, keep: frozenset[Path] = frozenset()) -> int:
        """Removes shards, those used longest ago first, until the limit holds; returns the bytes removed.

        Args:
            limit_bytes: instead of the store's own; 0 removes all.
            keep: shards to leave where they are: those of the work under way.
        """
        limit = self.limit_bytes if limit_bytes is None else limit_bytes
        used, removed = self.bytes_used(), 0
        for path in self.shards():
            if used - removed <= limit:
                break
            if path in keep:
                continue
            size = _size(path)
            with suppress(OSError):
                path.unlink()
                removed += size
        for folder in self.folder.glob("*/"):
            if not any(folder.glob(f"*{SUFFIX}")):
                # A writer that comes in between keeps the folder: only an empty one can be removed so.
                with suppress(OSError):
                    (folder / DESCRIPTION_FILE).unlink(missing_ok=True)
                    folder.rmdir()
        return removed


@dataclass(frozen=True)
class SpaceInfo:
    """One space, from outside.

    Attributes:
        description: what it was made of; empty where that is not written down.
        rows, bytes: how much there is.
        last_used: seconds since the epoch.
    """

    description: dict[str, Any]
    rows: int
    bytes: int
    last_used: float


@dataclass
class Space:
    """Rows of one kind; opened, it knows the keys of all shards that are there at that time."""

    folder: Path
    description: str
    store: FeatureStore

    def __post_init__(self) -> None:
        self._is_full = False
        self._shards: list[Shard] = []
        self._places: dict[bytes, tuple[int, int]] = {}
        for path in sorted(self.folder.glob(f"*{SUFFIX}")):
            self._open(path)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, key: bytes) -> bool:
        return key in self._places

    def read(self, keys: Sequence[bytes], out: np.ndarray) -> np.ndarray:
        """Puts the rows that are there in their places in ``out``; returns the indices of those that are not.

        A row that is not what was written counts as missing, and its shard is removed.

        Args:
            keys: 32 bytes each.
            out: ``[N, ...]``, float; rows are given its type and shape.
        """
        wanted: dict[int, list[tuple[int, int]]] = {}
        missing = []
        for index, key in enumerate(keys):
            if key in self._places:
                shard, row = self._places[key]
                wanted.setdefault(shard, []).append((index, row))
            else:
                missing.append(index)
        width = int(np.prod(out.shape[1:], dtype=np.int64))
        for number, pairs in wanted.items():
            indices, places = (np.array(column) for column in zip(*pairs, strict=True))
            source = self._shards[number]
            if source.width != width:
                self._remove(number, f"rows of {source.width} numbers instead of {width}")
                missing += indices.tolist()
                continue
            rows, is_right = source.rows(places)
            out[indices[is_right]] = rows[is_right].reshape(-1, *out.shape[1:])
            if not is_right.all():
                missing += indices[~is_right].tolist()
                self._remove(number, f"{(~is_right).sum()} rows are not what was written")
            else:
                with suppress(OSError):
                    os.utime(source.path)  # used now: pruning takes what was used longest ago
        return np.array(sorted(missing), dtype=np.int64)

    def write(self, keys: Sequence[bytes], rows: np.ndarray) -> bool:
        """Keeps rows, ``[N, ...]``, under their keys; False, with a word about it, where there is no room for them.

        That is where the disk does not take them, or where this space alone would go beyond the limit. Never raises
        for either: what is not kept is computed again next time.
        """
        if not len(keys):
            return True
        if sum(_size(shard.path) for shard in self._shards) + rows.nbytes > self.store.limit_bytes:
            if not self._is_full:
                console.print(
                    f"Features beyond {self.store.limit_bytes / 1e9:g} GB are not kept (train.store.limit_gb in "
                    "params.yaml): they will be computed again next time",
                    soft_wrap=True,
                )
            self._is_full = True
            return False
        packed = np.frombuffer(b"".join(keys), np.uint8).reshape(-1, KEY_BYTES)
        try:
            path = write_shard(self.folder, packed, rows.reshape(len(rows), -1))
            description = self.folder / DESCRIPTION_FILE
            if not description.is_file():
                description.write_text(self.description, encoding="utf-8")
        except OSError as error:
            console.print(
                f"Features cannot be kept in {self.folder.parent} ({first_line(error)}): they will be computed "
                "again next time",
                soft_wrap=True,
            )
            return False
        self._open(path)
        self.store.prune(keep=frozenset(shard.path for shard in self._shards))
        return True

    def _open(self, path: Path) -> None:
        try:
            shard = Shard(path)
        except GraftError as error:
            console.print(f"{error} It is removed, and computed again", soft_wrap=True)
            with suppress(OSError):
                path.unlink()
            return
        number = len(self._shards)
        self._shards.append(shard)
        for row, key in enumerate(shard.keys):
            self._places[key.tobytes()] = (number, row)

    def _remove(self, number: int, reason: str) -> None:
        path = self._shards[number].path
        console.print(
            f"The shard {path} is damaged ({reason}). It is removed, and computed again", soft_wrap=True
        )
        with suppress(OSError):
            path.unlink()
        self._places = {key: place for key, place in self._places.items() if place[0] != number}


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
