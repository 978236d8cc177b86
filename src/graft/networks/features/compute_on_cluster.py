"""Compute rows for images on Ray: decoding on CPUs, networks in actors, which write shards of the feature store.

Keys are hashes of images' files, as they are on one machine, and the folder is the same, so that the store does not
know who wrote what. The project's photographs and the store lie on a file system that all nodes share.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from graft.core.cluster import ClusterStep, rows_on_cluster
from graft.core.errors import GraftError
from graft.networks.decode_images import Photographs, load_images

if TYPE_CHECKING:
    from graft.networks.engines.openvino_run import Run
    from graft.networks.features.feature_store import FeatureStore, Space

# Pixels uint8 ``[n, S, S, 3]`` and the images' keys to what the network is given.
Prepare = Callable[[np.ndarray, Sequence[bytes]], np.ndarray]


@dataclass(frozen=True)
class Remote:
    """How a network comes to another machine.

    Attributes:
        open: opens it there; a function of a module, or a partial of one, that can be sent.
        gpus: of each actor: 0 where it runs on CPUs.
    """

    open: Callable[[], Run]
    gpus: float = 0


def compute_on_cluster(
    images: Photographs, indices: np.ndarray, remote: Remote, space: Space | None, prepare: Prepare | None
) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """Compute rows for some of the images; yield their indices as they are done.

    Yields:
        Indices, and the rows; None in their place where the actors have stored them.

    Raises:
        GraftError: an image is gone, or the cluster; what was stored until then stays.
    """
    chosen = [int(index) for index in indices]
    paths, keys = images.paths, images.keys
    columns: dict[str, list[Any]] = {
        "index": chosen,
        "path": [paths[index] for index in chosen],
        "key": [keys[index].hex() for index in chosen],
    }
    decode = ClusterStep(_Decode(images.root, images.size).batch)
    place = None
    if space is not None:
        place = (space.folder, space.description, space.store)
    answer = ClusterStep(_Forward, (remote.open, prepare, place), remote.gpus)
    done: list[int] = []
    rows: list[np.ndarray] = []
    for row in rows_on_cluster(columns, decode, answer):
        done.append(int(row["index"]))
        if place is None:
            rows.append(row["row"])
        if len(done) == _AT_A_TIME:
            yield np.array(done), np.stack(rows) if rows else None
            done, rows = [], []
    if done:
        yield np.array(done), np.stack(rows) if rows else None


_AT_A_TIME = 64


@dataclass(frozen=True)
class _Decode:
    """Decoding of images below a folder to a size."""

    root: Path
    size: int

    def batch(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the batch with its images' pixels, uint8 ``[n, S, S, 3]``."""
        paths, keys = [str(path) for path in batch.pop("path")], [str(key) for key in batch["key"]]
        return {**batch, "pixels": load_images(self.root, paths, keys, self.size)}


class _Forward:
    """An actor with a network, and with the space that its rows are written to."""

    def __init__(
        self, open_network: Callable[[], Run], prepare: Prepare | None, place: tuple[Path, str, FeatureStore] | None
    ) -> None:
        from graft.networks.features.feature_store import Space

        self._run, self._prepare = open_network(), prepare
        self._space: Any = None
        if place is not None:
            self._space = Space(*place)

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        keys = [bytes.fromhex(str(key)) for key in batch["key"]]
        pixels = np.asarray(batch["pixels"])
        rows = self._run(self._prepare(pixels, keys) if self._prepare else pixels)
        if self._space is None:
            return {"index": batch["index"], "row": rows}
        if not self._space.write(keys, self._space.as_stored(rows)):
            raise GraftError(
                f"A node cannot store features in {self._space.folder}",
                "Raise train.store.limit_gb in params.yaml, or see to the disk that the nodes share",
            )
        return {"index": batch["index"]}
