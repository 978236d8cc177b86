"""Remove what is left of images that were withdrawn: bytes, features, thumbnails, rows of logs, models.

An image that left data/ still lies in DVC's cache, in the feature store, in pages and in deliveries that were put away;
older versions of DVC's outputs hold its thumbnail, and models features of it or, as their example, the image itself.
All of that goes once a commit without the image stands; git keeps the hashes alone. May be repeated and cut off
anywhere: what was done is noted at the end.

A model that the registry's aliases name stays, with a sentence, until another one has its place.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from graft.automation.retraining import deliveries
from graft.automation.retraining.data_changes import read_withdrawn
from graft.core.dvc_lock import locked_outputs, outputs_of
from graft.core.errors import GraftError
from graft.core.files import sha256_of, write_file
from graft.core.git import run_git, try_git
from graft.core.outside import own_path
from graft.core.params.models import Params
from graft.core.project import Project
from graft.core.wording import counted
from graft.data.archives.open_archive import open_source
from graft.data.folder.dvc_cache import cache_folder, listed_files, pointed_at
from graft.data.folder.versioning import pointer_file
from graft.deployment.monitor.log_file import LogFile
from graft.networks.features.shards import Shard, shards_of, write_shard

if TYPE_CHECKING:
    from mlflow import MlflowClient

NOTED_FILE = "forgotten.json"
# Stages whose outputs hold pictures or features of single images.
_STAGES = ("validate", "split", "train", "ensemble", "evaluate")


def to_forget(project: Project) -> dict[str, dict[str, str]]:
    """Return the rows of withdrawn.csv, by SHA-256, whose images have not been forgotten yet."""
    noted = _noted(project)
    return {sha256: row for sha256, row in read_withdrawn(project).items() if sha256 not in noted}


def forget_withdrawn(project: Project, params: Params) -> list[str]:
    """Remove what is left of the images in withdrawn.csv; return what a person should know, a sentence each.

    Raises:
        GraftError: something cannot be removed.
    """
    gone = to_forget(project)
    if not gone:
        return []
    hashes = set(gone)
    _forget_logged(project, hashes)
    _forget_features(project.features, hashes)
    for folder in (project.inspection, project.drift_reports, project.fetched_models, project.retraining / "incoming"):
        shutil.rmtree(folder, ignore_errors=True)
    project.scan_memory.unlink(missing_ok=True)  # it has thumbnails, and the next scan writes it anew
    inbox = deliveries.inbox_folder(project, params.retrain.source.inbox)
    quarantine = project.root / own_path(params.retrain.deliveries.quarantine)
    for folder in (inbox / deliveries.DONE, quarantine, project.state / "labelling", project.replaced, project.staging):
        _forget_files(folder, hashes)
    _forget_cached(project, {row["md5"] for row in gone.values()} - {""})
    kept = _forget_models(project, hashes)
    names = counted(len(gone), "withdrawn image")
    if kept:
        return [f"{names}: removed but for {', '.join(kept)}, whose place another model has to take first."]
    write_file(project.retraining / NOTED_FILE, json.dumps(sorted(_noted(project) | hashes)))
    return [f"{names}: nothing is left of them here."]


def _noted(project: Project) -> set[str]:
    try:
        return set(json.loads((project.retraining / NOTED_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return set()


def _forget_logged(project: Project, hashes: set[str]) -> None:
    """Remove rows and photographs from the prediction log, and their bytes from its file."""
    log = LogFile(project.prediction_log)
    if not log.path.exists():
        return
    connection = log.open()
    try:
        connection.execute("PRAGMA secure_delete = ON")
        for table in ("predictions", "images"):
            connection.executemany(f"DELETE FROM {table} WHERE sha256 = ?", [(one,) for one in hashes])
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        log.close()


def _forget_features(store: Path, hashes: set[str]) -> None:
    """Remove rows from the feature store: their shard is written again without them."""
    keys = {bytes.fromhex(one) for one in hashes}
    for path in (path for space in store.glob("*/") for path in shards_of(space)):
        with suppress(GraftError):  # a damaged one is removed when it is read
            shard = Shard(path)
            stays = np.array([bytes(key) not in keys for key in shard.keys])
            if stays.all():
                continue
            rows, is_right = shard.rows(np.flatnonzero(stays))
            if is_right.any():
                write_shard(path.parent, shard.keys[stays][is_right], rows[is_right])
        path.unlink()


def _forget_files(folder: Path, hashes: set[str]) -> None:
    """Remove files with these bytes, and archives that hold one."""
    for file in [one for one in folder.rglob("*") if one.is_file() and not one.is_symlink()] if folder.is_dir() else []:
        if sha256_of(file) in hashes or any(one in hashes for one in _hashes_in(file)):
            file.unlink()


def _hashes_in(file: Path) -> Iterator[str]:
    """Yield the SHA-256 of each file in an archive; of what is none, nothing."""
    import hashlib

    with suppress(GraftError, OSError), open_source(file, 1 << 40) as source:
        names = {member.name for member in source.members()} if not file.is_dir() else set()
        for _, pieces in source.read(names):
            digest = hashlib.sha256()
            for piece in pieces:
                digest.update(piece)
            yield digest.hexdigest()


def _forget_cached(project: Project, md5s: set[str]) -> None:
    """Remove images from DVC's cache, and what earlier commits made of them: pages, manifests, models."""
    cache = cache_folder(project) / "files" / "md5"

    def place(md5: str) -> Path:
        return cache / md5[:2] / md5[2:]

    def below(md5: str) -> set[str]:
        return {md5, *((listed_files(place(md5)) or {}).values() if md5.endswith(".dir") else ())}

    def within(stages: dict[str, list[dict[str, Any]]]) -> set[str]:
        named = [outs for name, outs in stages.items() if name.partition("@")[0] in _STAGES]
        return {md5 for outs in named for out in outs for md5 in below(out["md5"])}

    present, earlier = within(outputs_of(project)), set[str]()
    if try_git(project.root, "rev-parse", "HEAD"):
        for commit in run_git(project.root, "log", "--format=%H", "--", "dvc.lock").split():
            earlier |= within(locked_outputs(try_git(project.root, "show", f"{commit}:./dvc.lock") or ""))
    present |= below(pointed_at(pointer_file(project).read_text(encoding="utf-8"))["md5"])
    for md5 in (md5s | earlier) - present:
        with suppress(FileNotFoundError):
            place(md5).unlink()


def _forget_models(project: Project, hashes: set[str]) -> list[str]:
    """Delete models that were trained on one of the images; return the versions that aliases name, which stay."""
    from graft.registry.store.logged_models import delete_model
    from graft.registry.store.seen_images import read_seen_images
    from graft.registry.store.tracking_store import open_store

    if project.tracking_is_own and not (project.home / "mlflow.db").exists():
        return []  # nothing was ever trained
    client = open_store(project)
    kept: list[str] = []
    for experiment in client.search_experiments():
        for run in client.search_runs([experiment.experiment_id], max_results=10_000):
            seen = read_seen_images(client, run.info.run_id)
            if seen is None or not hashes & set(seen["sha256"]):
                continue
            versions = client.search_model_versions(f"run_id = '{run.info.run_id}'")
            named = [one for one in versions if client.get_model_version(one.name, one.version).aliases]
            if named:
                kept += [f"version {one.version} of '{one.name}'" for one in named]
                continue
            for one in versions:
                client.delete_model_version(one.name, one.version)
            for model_id, location in _logged_models(client, run.info, versions).items():
                delete_model(client, model_id, location)
    return kept


def _logged_models(client: MlflowClient, run: Any, versions: Sequence[Any]) -> dict[str, str]:
    """Return where the models of a run lie, and those of its versions, which no run has where they have decisions."""
    found: list[Any] = list(
        client.search_logged_models([run.experiment_id], filter_string=f"source_run_id = '{run.run_id}'")
    )
    of_run = {one.model_id for one in found}
    found += [client.get_logged_model(one.model_id) for one in versions if one.model_id and one.model_id not in of_run]
    return {model.model_id: model.artifact_location for model in found}
