"""Open MLflow's store of this project: once per process, created once however many processes come first."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graft.core.errors import GraftError
from graft.core.files import replaced_file
from graft.core.lock import locked
from graft.core.outside import path_below
from graft.core.project import Project
from graft.core.threads import within
from graft.data.folder.versioning import dataset_name
from graft.registry.store.provenance import provenance_tags
from graft.registry.store.reachable import answer_seconds, no_longer_than, require_answer
from graft.registry.store.usable import explain

if TYPE_CHECKING:
    from mlflow import ActiveRun, MlflowClient

_LOCK_SECONDS = 120  # creating the tables takes seconds
_POINTING = threading.Lock()


def open_store(project: Project) -> MlflowClient:
    """Return a client of the project's tracking store and registry, which are created where they do not exist.

    Raises:
        GraftError: the store cannot be reached or created.
    """
    # The first use announces every migration of its database, a page of lines nobody can act on; a server's registry
    # announces that it is waited for.
    for name in (
        "mlflow.store.db.utils",
        "mlflow.tracking.fluent",
        "mlflow.pyfunc",
        "mlflow.models.model",
        "mlflow.store.model_registry.abstract_store",
        "alembic",
    ):
        logging.getLogger(name).setLevel(logging.WARNING)
    uri = project.tracking_uri
    database = project.home / "mlflow.db"
    own = project.tracking_is_own
    require_answer(uri)
    from mlflow import MlflowClient

    try:
        with _creating(project) if not (own and database.exists()) else contextlib.nullcontext():
            if own and not database.exists():
                _create(database, project.mlflow_artifacts)
            elif own:
                bring_home(database, project.mlflow_artifacts)
            _point_mlflow_at(uri)
            client = MlflowClient()
            _ask_first(project, client)
    except GraftError:
        raise
    except Exception as error:
        # Database drivers and HTTP clients raise each their own.
        raise explain(error, uri) from error
    return client


def _ask_first(project: Project, client: MlflowClient) -> None:
    """Ask the store for something; of a server, whose address may answer while its database does not, not for long."""
    if not project.tracking_is_served:
        client.search_experiments(max_results=1)
        return
    seconds = 2 * answer_seconds()
    with no_longer_than(seconds, retries=1):
        within(2 * seconds, lambda: client.search_experiments(max_results=1))


def _creating(project: Project) -> contextlib.AbstractContextManager[None]:
    """Let one process at a time create the tables of a database: two at once would collide."""
    if project.tracking_is_served:
        return contextlib.nullcontext()
    return locked(
        project.state / "mlflow.lock",
        f"Another process has been opening MLflow's store {project.tracking_uri} for more than {_LOCK_SECONDS} seconds",
        "Wait until it has ended, or end it",
        wait_seconds=_LOCK_SECONDS,
        waiting=f"Waiting for another process that opens MLflow's store (it holds {project.state / 'mlflow.lock'})",
    )


def _create(database: Path, artifacts: Path) -> None:
    """Create MLflow's database: beside its place, so that one that was interrupted is never taken for a whole one.

    MLflow goes through some seventy versions of its tables, each of hundreds of steps written to the disk by itself:
    several seconds of waiting, which a file that nobody knows yet can do without.
    """
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from sqlalchemy import Engine, event

    def do_not_wait(connection: Any, _: Any) -> None:
        connection.execute("PRAGMA synchronous = OFF")

    event.listen(Engine, "connect", do_not_wait)
    try:
        with replaced_file(database) as partial:
            partial.touch()  # SQLite would make it 0644, also where a group shares the project
            SqlAlchemyStore(f"sqlite:///{partial}", artifacts.as_uri()).engine.dispose()
    finally:
        event.remove(Engine, "connect", do_not_wait)


def _point_mlflow_at(uri: str) -> None:
    import mlflow

    with _POINTING:  # one thread would take what another is about to take back for the user's
        before = {name: os.environ.get(name) for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")}
        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri(uri)
        # It writes them into the environment, where the next project of this process would take them for the user's.
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def experiment_id(project: Project, client: MlflowClient, dataset: str) -> str:
    """Return the experiment of a data set, created at first use with its artifacts inside the project."""
    from mlflow.exceptions import MlflowException

    location = None
    if project.tracking_uri.startswith("sqlite"):
        location = path_below(project.mlflow_artifacts, dataset, "The name of the data set").as_uri()
    experiment = client.get_experiment_by_name(dataset)
    if experiment is None:
        try:
            return str(client.create_experiment(dataset, artifact_location=location))
        except MlflowException:
            # Another process may have come first.
            experiment = client.get_experiment_by_name(dataset)
            if experiment is None:
                raise
    if experiment.lifecycle_stage == "deleted":  # in MLflow's UI; its name stays taken and takes no runs
        client.restore_experiment(experiment.experiment_id)
    return str(experiment.experiment_id)


def start_run(project: Project, name: str, tags: Mapping[str, str], parent: str = "") -> ActiveRun:
    """Start a run in the experiment of the project's data set, with tags that say what it was made from.

    Args:
        parent: id of the run that it belongs below, which has these tags; "" for none.
    """
    import mlflow

    client, dataset = open_store(project), dataset_name(project)
    of_run = {"mlflow.parentRunId": parent} if parent else provenance_tags(project)
    return mlflow.start_run(
        experiment_id=experiment_id(project, client, dataset),
        run_name=name,
        tags={**tags, "dataset": dataset, **of_run},
        log_system_metrics=False,
    )


# Every column in which MLflow keeps where files lie. What a data set was read from is a record of its time, and stays.
_PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


def bring_home(database: Path, artifacts: Path) -> list[str]:
    """Rewrite MLflow's own database to name the files of this project, wherever it was moved or copied from.

    What graft put into the folder ``mlartifacts`` of another project is taken to lie in this one's, in one
    transaction. Other places, such as a bucket, stay as they are. The files themselves are not touched.

    Args:
        artifacts: this project's folder ``mlartifacts``.

    Returns:
        The folders it came from, as URIs; usually none.

    Raises:
        sqlite3.Error: it is no database, or cannot be written.
    """
    home = artifacts.as_uri()
    with contextlib.closing(sqlite3.connect(database, timeout=60, isolation_level=None)) as connection:
        places = [row[0] or "" for row in connection.execute("SELECT artifact_location FROM experiments")]
        before = sorted({root for root in (_root(place, artifacts.name) for place in places) if root} - {home})
        if not before:
            return []
        connection.execute("BEGIN IMMEDIATE")
        for root in before:
            for table, column in _PLACES:
                connection.execute(
                    f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?",
                    (home, len(root) + 1, len(root) + 1, f"{root}/"),
                )
        connection.execute("COMMIT")
    return before


def _root(place: str, name: str) -> str:
    """Return the folder ``name`` that a file URI lies below, as a URI; "" where it lies below none."""
    root, found, _ = place.rpartition(f"/{name}/")
    return f"{root}/{name}" if found and place.startswith("file://") else ""
