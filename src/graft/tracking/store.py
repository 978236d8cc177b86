"""MLflow's store of this project: opened once per process, created once however many processes come first."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from graft.errors import GraftError, first_line
from graft.project import Project

if TYPE_CHECKING:
    from mlflow import MlflowClient


def open_store(project: Project) -> MlflowClient:
    """A client of the project's tracking store and registry, which are created where they do not exist.

    Raises:
        GraftError: the store cannot be reached or created.
    """
    from mlflow import MlflowClient

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
    project.state.mkdir(parents=True, exist_ok=True)
    try:
        # Two processes that create the database at once collide; the second waits and finds it there.
        with FileLock(project.state / "mlflow.lock"):
            database = project.home / "mlflow.db"
            if project.tracking_uri == f"sqlite:///{database}" and not database.exists():
                _create(database)
            _point_mlflow_at(project.tracking_uri)
            client = MlflowClient()
            client.search_experiments(max_results=1)
    except Exception as error:
        # Database drivers and HTTP clients raise each their own.
        raise GraftError(
            f"MLflow's store {project.tracking_uri} cannot be opened: {first_line(error)}",
            "Check MLFLOW_TRACKING_URI, free disk space, and that the folder can be written",
        ) from error
    return client


def _create(database: Path) -> None:
    """Creates MLflow's database: beside its place, so that one that was interrupted is never taken for a whole one.

    MLflow goes through some seventy versions of its tables, each of hundreds of steps written to the disk by itself:
    several seconds of waiting, which a file that nobody knows yet can do without.
    """
    from mlflow.store.tracking import DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from sqlalchemy import Engine, event

    def do_not_wait(connection: Any, _: Any) -> None:
        connection.execute("PRAGMA synchronous = OFF")

    partial = database.with_name(f"{database.name}.partial")
    partial.unlink(missing_ok=True)
    event.listen(Engine, "connect", do_not_wait)
    try:
        store = SqlAlchemyStore(f"sqlite:///{partial}", DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH)
        store.engine.dispose()
    finally:
        event.remove(Engine, "connect", do_not_wait)
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(database)


def _point_mlflow_at(uri: str) -> None:
    import mlflow

    before = {name: os.environ.get(name) for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")}
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    # It also writes them into the environment, where the next project of this process would take them for the user's.
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def experiment_id(project: Project, client: MlflowClient, dataset: str) -> str:
    """The experiment of a data set, created at first use with its artifacts inside the project."""
    with FileLock(project.state / "mlflow.lock"):
        experiment = client.get_experiment_by_name(dataset)
        if experiment is not None:
            if (
                experiment.lifecycle_stage == "deleted"
            ):  # in MLflow's UI; its name stays taken and takes no runs
                client.restore_experiment(experiment.experiment_id)
            return str(experiment.experiment_id)
        location = (
            (project.mlflow_artifacts / dataset).as_uri()
            if project.tracking_uri.startswith("sqlite")
            else None
        )
        return str(client.create_experiment(dataset, artifact_location=location))


def runs_page(client: MlflowClient, address: str, dataset: str) -> str:
    """The page with the runs of a data set, or with all experiments where it has none yet.

    In MLflow's view of training; by itself MLflow opens that of language models.

    Args:
        client: of the store that is shown.
        address: of MLflow's pages.
        dataset: its name.
    """
    experiment = client.get_experiment_by_name(dataset)
    place = f"experiments/{experiment.experiment_id}" if experiment else "experiments"
    return f"{address.rstrip('/')}/#/{place}?workflowType=machine_learning"
