"""`graft cache`: what the feature store holds, whether it is whole, and making it smaller."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from graft.cli.app import Commands, opened
from graft.cli.output import table_of
from graft.core.errors import GraftError
from graft.core.progress import console, progress_bar

if TYPE_CHECKING:
    from graft.networks.features.feature_store import FeatureStore

app = Commands(help="The feature store: what frozen networks made of images. Safe to delete at any time.")


@app.command("info", epilog="Example: graft cache info")
def info() -> None:
    """Show what is stored, how large it is and when it was last used."""
    from graft.core.files import folder_bytes
    from graft.networks.engines.artifact_cache import LIMIT_BYTES
    from graft.networks.features.space_info import space_infos

    store = _store()
    table = table_of("~backbone", "~kept", ">images", ">MB", ">used")
    spaces = space_infos(store)
    for space in sorted(spaces, key=lambda space: -space.last_used):
        table.add_row(
            f"{space.description.get('backbone', '?')} at {space.description.get('image_size', '?')} px",
            str(space.description.get("label", "?")),
            f"{space.rows:,}",
            f"{space.bytes / 1e6:,.1f}",
            _ago(space.last_used),
        )
    if spaces:
        console.print(table)
    used = sum(space.bytes for space in spaces)
    console.print(
        f"{used / 1e9:.2f} GB of {store.limit_bytes / 1e9:g} in {store.folder} (train.store.limit_gb in params.yaml)",
        soft_wrap=True,
    )
    if networks := store.artifact_folders():
        size = sum(map(folder_bytes, networks)) / 1e9
        console.print(
            f"{size:.2f} GB of {LIMIT_BYTES / 1e9:g} beside that: networks as OpenVINO reads them, and exported models"
        )


@app.command("verify", epilog="Example: graft cache verify")
def verify() -> None:
    """Compare all that is stored with its checksums; what is damaged is removed, and made again when needed.

    Ends with 1 where something was damaged.
    """
    from graft.networks.engines.artifact_cache import is_whole

    store = _store()
    shards, networks = store.shards(), store.artifact_folders()
    damaged_shards = 0
    with progress_bar("Shards", len(shards)) as advance:
        for path in shards:
            damaged_shards += not store.verify(path)
            advance(1)
    damaged_networks = sum(not is_whole(folder) for folder in networks)
    if damaged_shards or damaged_networks:
        raise GraftError(
            f"{damaged_shards} of {len(shards)} shards and {damaged_networks} of {len(networks)} kept networks were "
            "damaged, and are removed"
        )
    console.print(f"All {len(shards)} shards and {len(networks)} kept networks are whole")


@app.command("prune", epilog="Example: graft cache prune --to-gb 5")
def prune(
    to_gb: Annotated[
        float | None,
        typer.Option(
            "--to-gb", metavar="GB", min=0, help="Gigabytes to leave, 0 for none; by default the limit in params.yaml."
        ),
    ] = None,
) -> None:
    """Remove what was not used for the longest time, until the rest fits."""
    store = _store()
    removed = store.prune(None if to_gb is None else round(to_gb * 1e9))
    console.print(f"{removed / 1e9:.2f} GB removed, {store.bytes_used() / 1e9:.2f} GB left")


def _store() -> FeatureStore:
    from graft.networks.features.feature_store import FeatureStore

    project, params = opened()
    return FeatureStore.of(project, params.train.store)


def _ago(moment: float) -> str:
    seconds = max(0.0, time.time() - moment)
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit} ago"
    return "just now"
