"""Find versions, models and files in MLflow's store that nobody needs any more.

A version stays where an alias or the line of champions names it, where a person gave it the tag ``keep``, where it is
one of the latest, or young. A model that a run logged stays with its version; where it has none, if it is young or the
project's folder was made by it. A run stays for ever, with its figures, its curves and its predictions, unless a person
deleted it. Commits need none of these: DVC has their models, and :func:`graft.registry.register.register_best` logs one
anew where it is asked for again.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graft.automation.prune.leftover import Leftover, bytes_of, older_than, on_disk, remove_path
from graft.core.params.models import Params
from graft.core.project import Project
from graft.data.folder.dvc_cache import cache_folder
from graft.data.folder.versioning import dataset_name
from graft.registry.aliases import registered_name
from graft.registry.promotion.line import announced, read_line
from graft.registry.store.logged_models import delete_model, local_folder
from graft.registry.store.read_registry import ClientReader, pages_of, versions_of

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

KEEP_TAG = "keep"  # of a version or a logged model, with any value
_VERSION, _MODEL = "model version", "logged model"
_ID = re.compile(r"(m-)?[0-9a-f]{32}")  # of a run or a logged model


def registry_leftovers(project: Project, params: Params) -> Iterator[Leftover]:
    """Yield versions, logged models, and files of what was deleted, the oldest first.

    Raises:
        GraftError: the store cannot be reached.
    """
    from graft.registry.store.tracking_store import open_store

    if project.tracking_is_own and not (project.home / "mlflow.db").exists():
        return
    client = open_store(project)
    experiment = client.get_experiment_by_name(dataset_name(project))
    if experiment is None:
        return
    models: dict[str, Any] = {
        one.model_id: one for one in pages_of(client.search_logged_models, [experiment.experiment_id])
    }
    versions = versions_of(client, registered_name(project, params.register_))
    versions.sort(key=lambda one: -int(one.version))
    old = time.time() - params.prune.keep_days * 86400
    gone = [one for one in _superseded(client, versions, params.prune.keep_versions) if _seconds(one) < old]
    needed = {_model_id(one) for one in versions if one not in gone} | _made_here(project)
    for version in gone:
        model = models.get(_model_id(version))
        shared = model is not None and model.model_id in needed
        yield Leftover(
            _VERSION,
            f"{version.name} {version.version}",
            0 if model is None or shared else _size(model),
            f"neither an alias nor the line of champions names it; {params.prune.keep_versions} later ones stay",
            partial(_remove_version, project, client, version, None if shared else model),
        )
    needed |= {_model_id(one) for one in gone}
    for model in sorted(models.values(), key=lambda one: one.creation_timestamp):
        if model.model_id not in needed and KEEP_TAG not in model.tags and model.creation_timestamp / 1000 < old:
            reason = "of no version, and not what artifacts/ was made with; its run stays"
            remove = partial(delete_model, client, model.model_id, model.artifact_location)
            yield Leftover(_MODEL, model.model_id, _size(model), reason, remove)
    if project.tracking_is_own:
        yield from _deleted(project, params.prune.keep_days, versions)


def _superseded(client: MlflowClient, versions: Sequence[ModelVersion], latest: int) -> list[ModelVersion]:
    """Return the versions beyond the latest that nothing names, the oldest first."""
    if not versions:
        return []
    line = read_line(ClientReader(client), versions[0].name)
    named = {*line.aliases.values(), *(entry.version for entry in line.entries)}
    named |= {entry.before for entry in line.entries if entry.before}
    named |= {change.version for key, text in line.changing.items() if (change := announced(text, key))}
    stay = [one for one in versions[latest:] if str(one.version) not in named and KEEP_TAG not in one.tags]
    return stay[::-1]


def _made_here(project: Project) -> set[str]:
    """Return the logged models that the folder artifacts was made with."""
    found = set()
    for file in (*project.artifacts("train").glob("*/run.json"), *project.artifacts("ensemble").glob("*/run.json")):
        with suppress(OSError, ValueError, KeyError, TypeError):
            found.add(str(json.loads(file.read_text(encoding="utf-8"))["model_uri"]).removeprefix("models:/"))
    return found


def _deleted(project: Project, days: float, versions: Sequence[ModelVersion]) -> Iterator[Leftover]:
    """Yield runs and models that a person deleted in MLflow's pages, and folders that its database knows nothing of.

    What the database has of a deleted run goes with the folder, as by `mlflow gc`.
    """
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    store = SqlAlchemyStore(project.tracking_uri, project.mlflow_artifacts.as_uri())
    try:
        milliseconds = int(days * 86_400_000)
        needed = {one.run_id for one in versions}
        runs = [one for one in store._get_deleted_runs(milliseconds) if one not in needed]
        models = set(store._get_deleted_logged_models(milliseconds))
        known = _known_folders(project)
    finally:
        store.engine.dispose()
    for run in runs:
        folders = list(project.mlflow_artifacts.glob(f"*/{run}"))
        size = sum(map(bytes_of, folders))
        yield Leftover(
            "deleted run", run, size, "deleted in MLflow's pages", partial(_remove_run, project, run, folders)
        )
    for folder in (*project.mlflow_artifacts.glob("*/models/m-*"), *project.mlflow_artifacts.glob("*/*")):
        if folder.name in models:
            yield on_disk(_MODEL, folder, "deleted in MLflow")
        elif _ID.fullmatch(folder.name) and folder.name not in known and older_than([folder], max(days, 1)):
            yield on_disk("MLflow's files", folder, "no run and no model of MLflow's database has this name")


def _known_folders(project: Project) -> set[str]:
    """Return the names of folders that MLflow's own database accounts for."""
    from contextlib import closing

    from graft.core.sqlite_file import open_sqlite

    with closing(open_sqlite(project.home / "mlflow.db", "ro")) as connection:
        runs = connection.execute("SELECT run_uuid FROM runs").fetchall()
        models = connection.execute("SELECT model_id FROM logged_models").fetchall()
    return {name for (name,) in (*runs, *models)}


def _remove_version(project: Project, client: MlflowClient, version: ModelVersion, model: Any) -> None:
    # Stage register is run anew where DVC would restore its record of this version.
    for file in (cache_folder(project) / "runs").glob("*/*/*"):
        if b"artifacts/register/registered.json" in file.read_bytes():
            file.unlink()
    client.delete_model_version(version.name, version.version)
    if model is not None:
        delete_model(client, model.model_id, model.artifact_location)


def _remove_run(project: Project, run: str, folders: Sequence[Path]) -> None:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    for folder in folders:
        remove_path(folder)
    store = SqlAlchemyStore(project.tracking_uri, project.mlflow_artifacts.as_uri())
    try:
        store._hard_delete_run(run)
    finally:
        store.engine.dispose()


def _size(model: Any) -> int:
    folder = local_folder(model.artifact_location)
    return bytes_of(folder) if folder and folder.exists() else 0


def _model_id(version: ModelVersion) -> str:
    return version.model_id or str(version.source).removeprefix("models:/")


def _seconds(version: ModelVersion) -> float:
    return float(version.creation_timestamp) / 1000
