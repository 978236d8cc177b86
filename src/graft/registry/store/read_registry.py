"""Read MLflow's registry: of the project's own database by SQL, of any other store through MLflow's client.

MLflow takes two to three seconds of one core to import, which is most of what `graft predict` and `graft history` would
need. What they ask are a few tables that a contract test holds against MLflow's own answers.
"""

from __future__ import annotations

import contextlib
import math
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from graft.core.project import Project
from graft.registry.store.tracking_store import bring_home, open_store
from graft.registry.store.usable import explain

if TYPE_CHECKING:
    from pathlib import Path

    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.exceptions import MlflowException

# The revisions of MLflow's tables that the SQL below was written for, as its table alembic_version names them: those of
# the MLflow in requirements.lock. Another one is read through MLflow's client.
REVISIONS = frozenset({"dc11669786a5"})
_DELETED = "Deleted_Internal"


@dataclass(frozen=True)
class RegisteredModel:
    """A name in the registry: its versions by alias, and its tags."""

    aliases: Mapping[str, str]
    tags: Mapping[str, str]


@dataclass(frozen=True)
class StoredModel:
    """A version of a registered model, or a model as a run logged it.

    Attributes:
        name: in the registry, or as it was logged.
        version: ``""`` for a logged model.
        tags: by key.
        location: where its files lie, a path or a URI.
        run_id: of the run that made it; ``""`` where none is recorded.
    """

    name: str
    version: str
    tags: Mapping[str, str]
    location: str
    run_id: str = ""


class RegistryReader(Protocol):
    """A reader of a registry. None stands for what is not there; a store that cannot answer raises."""

    def model(self, name: str) -> RegisteredModel | None:
        """Return what the registry says of a name."""

    def version(self, name: str, number: str) -> StoredModel | None:
        """Return a version of a registered model."""

    def versions_with(self, name: str, tag: str) -> list[StoredModel]:
        """Return the versions that have a tag, without their location."""

    def logged_model(self, model_id: str) -> StoredModel | None:
        """Return a model as a run logged it."""

    def run_metrics(self, run_id: str) -> dict[str, float] | None:
        """Return the last value of each metric of a run."""


def read_registry(project: Project) -> RegistryReader:
    """Return a reader of the project's registry, whose store is created where it does not exist.

    Raises:
        GraftError: the store cannot be reached or created.
    """
    database = project.home / "mlflow.db"
    if project.tracking_is_own and _revision(database) in REVISIONS:
        bring_home(database, project.mlflow_artifacts)
        return SqliteReader(database)
    return ClientReader(open_store(project))


def _revision(database: Path) -> str | None:
    if not database.exists():
        return None
    try:
        with contextlib.closing(_connected(database)) as connection:
            return str(connection.execute("SELECT version_num FROM alembic_version").fetchone()[0])
    except (sqlite3.Error, TypeError):
        return None  # no database of MLflow's, or a damaged one: its client says what is wrong


def _connected(database: Path) -> sqlite3.Connection:
    return sqlite3.connect(database, timeout=60)


class SqliteReader:
    """A reader of the project's own database."""

    def __init__(self, database: Path) -> None:
        self._database = database

    def model(self, name: str) -> RegisteredModel | None:
        """Return what the registry says of a name."""
        if not self._rows("SELECT 1 FROM registered_models WHERE name = ?", name):
            return None
        aliases = self._rows("SELECT alias, version FROM registered_model_aliases WHERE name = ?", name)
        tags = self._rows("SELECT key, value FROM registered_model_tags WHERE name = ?", name)
        return RegisteredModel({alias: str(version) for alias, version in aliases}, dict(tags))

    def version(self, name: str, number: str) -> StoredModel | None:
        """Return a version of a registered model."""
        if not number.isdecimal():
            return None
        found = self._rows(
            "SELECT COALESCE(NULLIF(storage_location, ''), source), run_id FROM model_versions "
            "WHERE name = ? AND version = ? AND current_stage IS NOT ?",
            name,
            int(number),
            _DELETED,
        )
        if not found:
            return None
        tags = self._rows("SELECT key, value FROM model_version_tags WHERE name = ? AND version = ?", name, int(number))
        location, run_id = found[0]
        return StoredModel(name, str(int(number)), dict(tags), location, run_id or "")

    def versions_with(self, name: str, tag: str) -> list[StoredModel]:
        """Return the versions that have a tag, without their location."""
        rows = self._rows(
            "SELECT tags.version, tags.value FROM model_version_tags AS tags JOIN model_versions AS versions "
            "ON versions.name = tags.name AND versions.version = tags.version "
            "WHERE tags.name = ? AND tags.key = ? AND versions.current_stage IS NOT ?",
            name,
            tag,
            _DELETED,
        )
        return [StoredModel(name, str(version), {tag: value}, "") for version, value in rows]

    def logged_model(self, model_id: str) -> StoredModel | None:
        """Return a model as a run logged it."""
        found = self._rows(
            "SELECT name, artifact_location, source_run_id FROM logged_models "
            "WHERE model_id = ? AND lifecycle_stage = 'active'",
            model_id,
        )
        if not found:
            return None
        tags = self._rows("SELECT tag_key, tag_value FROM logged_model_tags WHERE model_id = ?", model_id)
        name, location, run_id = found[0]
        return StoredModel(name, "", dict(tags), location, run_id or "")

    def run_metrics(self, run_id: str) -> dict[str, float] | None:
        """Return the last value of each metric of a run."""
        if not self._rows("SELECT 1 FROM runs WHERE run_uuid = ?", run_id):
            return None
        rows = self._rows("SELECT key, value, is_nan FROM latest_metrics WHERE run_uuid = ?", run_id)
        return {key: math.nan if is_nan else value for key, value, is_nan in rows}

    def _rows(self, query: str, *values: Any) -> list[Any]:
        try:
            with contextlib.closing(_connected(self._database)) as connection:
                return connection.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise explain(error, f"sqlite:///{self._database}") from error


class ClientReader:
    """A reader of any store, through MLflow."""

    def __init__(self, client: MlflowClient) -> None:
        self._client = client

    def model(self, name: str) -> RegisteredModel | None:
        """Return what the registry says of a name."""
        with _nothing_where_missing():
            found = self._client.get_registered_model(name)
            return RegisteredModel({alias: str(one) for alias, one in found.aliases.items()}, dict(found.tags))
        return None

    def version(self, name: str, number: str) -> StoredModel | None:
        """Return a version of a registered model."""
        with _nothing_where_missing():
            found = self._client.get_model_version(name, number)
            location = self._client.get_model_version_download_uri(name, number)
            return StoredModel(name, str(found.version), dict(found.tags), location, found.run_id or "")
        return None

    def versions_with(self, name: str, tag: str) -> list[StoredModel]:
        """Return the versions that have a tag, without their location."""
        return [StoredModel(name, str(one.version), dict(one.tags), "") for one in versions_of(self._client, name, tag)]

    def logged_model(self, model_id: str) -> StoredModel | None:
        """Return a model as a run logged it."""
        with _nothing_where_missing():
            found = self._client.get_logged_model(model_id)
            return StoredModel(found.name, "", dict(found.tags), found.artifact_location, found.source_run_id or "")
        return None

    def run_metrics(self, run_id: str) -> dict[str, float] | None:
        """Return the last value of each metric of a run."""
        with _nothing_where_missing():
            return dict(self._client.get_run(run_id).data.metrics)
        return None


def versions_of(client: MlflowClient, name: str, tag: str = "") -> list[ModelVersion]:
    """Return the versions of a registered model, or of these the ones that have a tag, through MLflow."""
    # Not by name: a filter of MLflow's cannot hold every name that its registry takes.
    wanted = f"tag.`{tag}` LIKE '%'" if tag else None
    return [one for one in pages_of(client.search_model_versions, wanted) if one.name == name]


def pages_of(search: Any, *arguments: Any) -> Iterator[Any]:
    """Yield what one of MLflow's searches finds, page by page."""
    page = None
    while True:
        found = search(*arguments, page_token=page)
        yield from found
        page = found.token
        if not page:
            return


@contextlib.contextmanager
def _nothing_where_missing() -> Iterator[None]:
    """Pass over MLflow's word that there is no such thing, or no such name."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if not is_missing(error) and str(error.error_code) != "INVALID_PARAMETER_VALUE":
            raise


def is_missing(error: MlflowException) -> bool:
    """Return whether MLflow says that there is no such thing, rather than that it cannot answer."""
    return str(error.error_code) == "RESOURCE_DOES_NOT_EXIST"
