"""What is in a feature store, space by space, for people."""

from dataclasses import dataclass
from typing import Any

from graft.core.files import read_object
from graft.networks.features.feature_store import DESCRIPTION_FILE, FeatureStore, Space
from graft.networks.features.shards import shards_of


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


def space_infos(store: FeatureStore) -> list[SpaceInfo]:
    """Return the description of each space that is here, and its size."""
    found = []
    for folder in store.space_folders():
        stats = [path.stat() for path in shards_of(folder) if path.exists()]
        description = read_object(folder / DESCRIPTION_FILE)
        used = max((one.st_mtime for one in stats), default=0.0)
        found.append(SpaceInfo(description, len(Space(folder, "", store)), sum(one.st_size for one in stats), used))
    return found
