"""The feature store: rows of numbers that a frozen network made of images, by the images' hashes.

::

    <folder>/<space>/space.json     what the rows are of: weights, cut, image size, view, ...
    <folder>/<space>/*.arrow        rows by key, see graft.networks.features.shards
    <folder>/networks               what follows from the networks themselves, see graft.networks.engines.artifact_cache

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
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from graft.core.errors import GraftError, first_line
from graft.core.files import remove_abandoned, write_file
from graft.core.params.train_params import StoreParams
from graft.core.progress import console
from graft.core.project import Project
from graft.networks.decode_images import release_pages
from graft.networks.engines.artifact_cache import cached_folder, prune_cached
from graft.networks.features.shards import KEY_BYTES, Shard, shards_of, write_shard
from graft.networks.features.shared_store import SharedStore

DESCRIPTION_FILE = "space.json"
NETWORKS = "networks"
# What describes a space is written down in this form; another form is another space.
FORMAT = 1
# A key in an index: numpy orders such bytes, and searches among them.
KEY = np.dtype(f"S{KEY_BYTES}")
# The share of the limit that may be written between two looks at the disk: each is a look at every shard there is.
UNSEEN_SHARE = 0.02


class FeatureStore:
    """All spaces, and the limit that they share.

    Args:
        limit_bytes: above it, the shards that were not used for the longest time go.
        precision: of rows, ``float32`` or ``float16``; those of one are not read by the other.
        shared: address of a copy that machines share, see :mod:`graft.networks.features.shared_store`; ``""`` for none.
    """

    def __init__(self, folder: Path, limit_bytes: int, precision: str = "float32", shared: str = "") -> None:
        self.folder = folder
        self.limit_bytes = limit_bytes
        self.precision = precision
        self.shared = SharedStore(shared) if shared else None
        self._until_look = 0.0

    @classmethod
    def of(cls, project: Project, params: StoreParams) -> FeatureStore:
        """Return a project's store, as params.yaml has it."""
        return cls(project.features, params.limit_bytes, params.precision, params.shared)

    def space(self, description: Mapping[str, Any], label: str = "") -> Space:
        """Return the space for ``description`` (JSON-ready), which decides its rows; ``label`` names it for people."""
        rows = {} if self.precision == "float32" else {"rows": self.precision}
        text = json.dumps({"format": FORMAT, **rows, **description}, sort_keys=True)
        written = json.dumps({"label": label, **json.loads(text)}, indent=1)
        folder = self.folder / hashlib.sha256(text.encode()).hexdigest()[:24]
        if self.shared is not None:
            self.shared.exchange(folder, max(0, self.limit_bytes - self.bytes_used()))
            if shards_of(folder) and not (folder / DESCRIPTION_FILE).is_file():
                write_file(folder / DESCRIPTION_FILE, written)
        return Space(folder, written, self)

    @property
    def networks(self) -> Path:
        """The folder of what follows from networks alone, see :mod:`graft.networks.engines.artifact_cache`."""
        return self.folder / NETWORKS

    def network(self, description: Mapping[str, Any]) -> Path:
        """Return the folder in which the network for ``description`` (JSON-ready) is cached in OpenVINO's form."""
        return self.artifact_folder({"openvino": metadata.version("openvino"), **description})

    def artifact_folder(self, description: Mapping[str, Any]) -> Path:
        """Return the folder in which artefacts for ``description`` (JSON-ready) are cached."""
        return cached_folder(self.networks, description)

    def artifact_folders(self) -> list[Path]:
        """Return each folder that is cached below :attr:`networks`."""
        return sorted(path for path in self.networks.glob("*/") if not path.name.startswith("."))

    def shards(self) -> list[Path]:
        """Return the files of all shards, those used longest ago first."""
        found = []
        for path in (path for folder in self.space_folders() for path in shards_of(folder)):
            with suppress(OSError):  # another process may have pruned it
                found.append((path.stat().st_mtime_ns, path))
        return [path for _, path in sorted(found)]

    def bytes_used(self) -> int:
        """Return the total size of all shards in bytes."""
        return sum(_size(path) for path in self.shards())

    def space_folders(self) -> list[Path]:
        """Return the folder of each space."""
        return sorted(folder for folder in self.folder.glob("*/") if folder.name != NETWORKS)

    def verify(self, path: Path) -> bool:
        """Return whether every row of a shard is as it was written; remove the shard where not."""
        try:
            shard = Shard(path)
            is_whole = bool(shard.rows(np.arange(len(shard.keys)))[1].all())
        except GraftError:
            is_whole = False
        if not is_whole:
            with suppress(OSError):
                path.unlink()
        return is_whole

    def grown(self, size: int, keep: frozenset[Path]) -> None:
        """Count ``size`` bytes as written, and prune where that may have gone beyond the limit.

        The disk is looked at first, and again once what was then free is written, or a small share of the limit: other
        processes may be writing too.
        """
        self._until_look -= size
        if self._until_look < 0:
            self.prune(keep=keep)
            free = self.limit_bytes - self.bytes_used()
            self._until_look = min(max(free, 0), UNSEEN_SHARE * self.limit_bytes)

    def prune(self, limit_bytes: int | None = None, keep: frozenset[Path] = frozenset()) -> int:
        """Remove shards, those used longest ago first, until the limit holds; return the bytes removed.

        Args:
            limit_bytes: instead of the store's own; 0 removes all, cached networks too, which are small and count in no
                limit of rows.
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
        if limit == 0:
            removed += prune_cached(self.networks, 0)
        for folder in self.space_folders():
            if not shards_of(folder):
                remove_abandoned(folder)
                # A writer that comes in between keeps the folder: only an empty one can be removed so.
                with suppress(OSError):
                    (folder / DESCRIPTION_FILE).unlink(missing_ok=True)
                    folder.rmdir()
        return removed


@dataclass
class Space:
    """Rows of one kind; opened, it knows the keys of all shards that are there at that time.

    Of a shard nothing is held but its keys: many shards would be more open files than a process may have, and the
    pages of what was read from them would count as this process's memory.
    """

    folder: Path
    description: str
    store: FeatureStore

    def __post_init__(self) -> None:
        self._is_full = False
        self._shards: list[Path] = []
        self._bytes = 0
        # Of every row: its key, and the place of its shard and its own place in that.
        self._keys = [np.empty(0, KEY)]
        self._places = [np.empty((0, 2), np.int32)]
        for path in shards_of(self.folder):
            try:
                self._add(path, Shard(path).keys)
            except GraftError as error:
                self._remove(path, str(error))

    def __len__(self) -> int:
        return len(np.unique(self._index()[0]))

    def __contains__(self, key: bytes) -> bool:
        return bool((self._find([key])[:, 0] >= 0).all())

    def read(self, keys: Sequence[bytes], out: np.ndarray) -> np.ndarray:
        """Copy the stored rows to their places in ``out``; return the indices of those that are missing.

        A damaged row is treated as missing, and its shard is removed.

        Args:
            keys: 32 bytes each.
            out: ``[N, ...]``, float; rows are given its type and shape.
        """
        if not len(keys):
            return np.empty(0, np.int64)
        width = int(np.prod(out.shape[1:], dtype=np.int64))
        places = self._find(keys)
        order = np.argsort(places[:, 0], kind="stable")
        numbers, starts = np.unique(places[order, 0], return_index=True)
        missing = []
        for number, indices in zip(numbers, np.split(order, starts[1:]), strict=True):
            if number < 0:
                missing.append(indices)
                continue
            path = self._shards[number]
            try:
                shard = Shard(path)
                if shard.width != width:
                    raise GraftError(f"The shard {path} is damaged (rows of {shard.width} numbers, not {width})")
                rows, is_right = shard.rows(places[indices, 1])
            except (GraftError, IndexError) as error:
                self._remove(path, str(error))
                missing.append(indices)
                continue
            out[indices[is_right]] = rows[is_right].reshape(-1, *out.shape[1:])
            release_pages(out)
            if not is_right.all():
                missing.append(indices[~is_right])
                self._remove(path, f"The shard {path} is damaged ({(~is_right).sum()} rows are not what was written)")
            else:
                with suppress(OSError):
                    os.utime(path)  # used now: pruning takes what was used longest ago
        return np.sort(np.concatenate([np.empty(0, np.int64), *missing])).astype(np.int64)

    def as_stored(self, rows: np.ndarray) -> np.ndarray:
        """Return rows in the store's precision, as they will be read back; unchanged where too large for it."""
        stored = rows.astype(self.store.precision, copy=False)
        return stored if np.isfinite(stored).all() else rows

    def write(self, keys: Sequence[bytes], rows: np.ndarray) -> bool:
        """Store rows, ``[N, ...]``, under their keys; return False, with a warning, where there is no room for them.

        That is where the disk does not take them, or where this space alone would go beyond the limit. Never raises
        for either: what is not stored is computed again next time.
        """
        if not len(keys):
            return True
        if self._bytes + rows.nbytes > self.store.limit_bytes:
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
                write_file(description, self.description)
        except OSError as error:
            console.print(
                f"Features cannot be kept in {self.folder.parent} ({first_line(error)}): they will be computed "
                "again next time",
                soft_wrap=True,
            )
            return False
        if self.store.shared is not None:
            self.store.shared.put(path)
        self.store.grown(self._add(path, packed), keep=frozenset(self._shards))
        return True

    def _add(self, path: Path, keys: np.ndarray) -> int:
        """Add the keys, uint8 ``[N, 32]``, of a shard to the index; return the shard's bytes."""
        places = np.empty((len(keys), 2), np.int32)
        places[:, 0], places[:, 1] = len(self._shards), np.arange(len(keys))
        self._shards.append(path)
        self._keys.append(np.ascontiguousarray(keys).view(KEY).reshape(-1))
        self._places.append(places)
        size = _size(path)
        self._bytes += size
        return size

    def _index(self) -> tuple[np.ndarray, np.ndarray]:
        """Return all keys in order, and their places."""
        if len(self._keys) > 1:
            keys, places = np.concatenate(self._keys), np.concatenate(self._places)
            order = np.argsort(keys, kind="stable")
            self._keys, self._places = [keys[order]], [places[order]]
        return self._keys[0], self._places[0]

    def _find(self, keys: Sequence[bytes]) -> np.ndarray:
        """Return the places of keys, int ``[N, 2]``; -1 where there is no such row."""
        index_keys, places = self._index()
        wanted = np.frombuffer(b"".join(keys), KEY)
        if not len(index_keys):
            return np.full((len(wanted), 2), -1, np.int32)
        at = np.minimum(np.searchsorted(index_keys, wanted), len(index_keys) - 1)
        return np.where((index_keys[at] == wanted)[:, None], places[at], np.int32(-1))

    def _remove(self, path: Path, reason: str) -> None:
        """Remove a damaged shard, and its keys from the index."""
        console.print(f"{GraftError(reason)} It is removed, and computed again", soft_wrap=True)
        with suppress(OSError):
            path.unlink()
        if path in self._shards:
            keys, places = self._index()
            stays = places[:, 0] != self._shards.index(path)
            self._keys, self._places = [keys[stays]], [places[stays]]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
