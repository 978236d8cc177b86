"""Copy a project's own MLflow store, SQLite and a folder of files, to a server's database and files.

Ids stay what they are: runs, models and data sets are named by random ids, versions by model and number, and a project
and its history of champions refer to them. Only the numbers of experiments, which every server counts by itself, and
the places of files become the server's. Experiments are therefore made by the server, files go through it, and all
other rows go from database to database in one transaction.

What the server has already is never changed, so that a migration may be repeated: after an interruption, or to take
along what has been added since. The source is only read.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graft.core.credentials import without_credentials
from graft.core.errors import GraftError, first_line
from graft.core.files import sha256_of
from graft.core.progress import progress_bar
from graft.core.project import Project
from graft.core.sqlite_file import open_sqlite
from graft.registry.store.reachable import require_answer
from graft.registry.store.tracking_store import bring_home
from graft.registry.store.usable import explain

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from sqlalchemy import Connection, Engine, Table

# In an order in which every row comes after those that it refers to. Experiments are the server's to make.
TABLES = (
    *("experiment_tags", "datasets", "runs", "tags", "params", "metrics", "latest_metrics"),
    *("logged_models", "logged_model_params", "logged_model_tags", "logged_model_metrics", "inputs", "input_tags"),
    *("registered_models", "registered_model_tags", "model_versions", "model_version_tags"),
    "registered_model_aliases",
)
PLACES = ("artifact_uri", "artifact_location", "source", "storage_location")  # columns that say where files lie
_ROWS = 1000  # inserted at a time
_THREADS = 8  # files under way

Row = dict[str, Any]


@dataclass
class Migrated:
    """The rows and files that a migration copied, by kind.

    Attributes:
        copied: rows by table, and ``files``.
        equal: likewise, what was there already as it is here.
        other: likewise, what was there and has changed since, at the server or here; left as it is there.
        not_taken: rows of tables that graft does not write, by table.
    """

    copied: Counter[str] = field(default_factory=Counter)
    equal: Counter[str] = field(default_factory=Counter)
    other: Counter[str] = field(default_factory=Counter)
    not_taken: Counter[str] = field(default_factory=Counter)


def migrate_store(project: Project, server: str, database: str) -> Migrated:
    """Copy the project's own store to a server; every row and file is read back and compared.

    Args:
        server: address of MLflow's server, ``http://...``.
        database: address of that server's database, ``postgresql://...``.

    Raises:
        GraftError: there is nothing to copy; server or database cannot be reached, do not belong together, or are of
            another version; a version of the registry is there already as another project's; a copy is not what was
            written.
    """
    source = project.home / "mlflow.db"
    if not source.is_file():
        raise GraftError(f"{source} is not there: this project has no MLflow store of its own", "Nothing to migrate")
    require_answer(server)
    require_answer(database)
    from mlflow import MlflowClient
    from sqlalchemy import create_engine

    bring_home(source, project.mlflow_artifacts)
    done = Migrated()
    here = create_engine("sqlite://", creator=partial(open_sqlite, source, "ro"))
    there = create_engine(database)
    try:
        _require_one_schema(here, there, database)
        client = MlflowClient(tracking_uri=server, registry_uri=server)
        with here.connect() as old:
            try:
                experiments = _experiments(old, client)
            except Exception as error:
                raise explain(error, server) from error
            with there.connect() as new:
                _require_same_store(new, experiments, server, database)
                rows = _translated(old, new, experiments)
                _require_no_others(new, rows)
                done.not_taken = _not_taken(old)
            _copy_files(experiments, server, done)  # first: a row never names a file that is not there
            with there.begin() as new:
                for name, of_table in rows.items():
                    _copy_rows(new, name, of_table, done)
            with there.connect() as new:
                for name, of_table in rows.items():
                    stored = _stored(new, name, of_table)
                    if missing := sum(_key(name, row) not in stored for row in of_table):
                        raise GraftError(f"{missing} rows of {name} are not in the database after all")
    except GraftError:
        raise
    except Exception as error:
        # Database drivers, HTTP clients and object stores raise each their own.
        raise GraftError(
            f"The migration stopped: {first_line(error)}", "Mend that and run the same command again: it carries on"
        ) from error
    finally:
        here.dispose()
        there.dispose()
    return done


@dataclass(frozen=True)
class _Experiment:
    """An experiment in both stores: its number and where its files lie, here and there."""

    name: str
    old_id: int
    new_id: int
    old_place: str
    new_place: str


def _experiments(old: Connection, client: MlflowClient) -> list[_Experiment]:
    """Return all experiments, those that the server lacks made there now."""
    table, found = _table("experiments"), []
    for row in old.execute(table.select()).mappings():
        there = client.get_experiment_by_name(row["name"])
        if there is None:
            there = client.get_experiment(client.create_experiment(row["name"]))
        new_id, new_place = int(there.experiment_id), there.artifact_location
        found.append(_Experiment(row["name"], row["experiment_id"], new_id, row["artifact_location"] or "", new_place))
    return found


def _require_one_schema(here: Engine, there: Engine, database: str) -> None:
    from sqlalchemy import text
    from sqlalchemy.exc import SQLAlchemyError

    versions = []
    for engine in (here, there):
        try:
            with engine.connect() as connection:
                versions.append(connection.execute(text("SELECT version_num FROM alembic_version")).scalar())
        except SQLAlchemyError:
            versions.append(None)
    if versions[1] is None:
        raise GraftError(
            f"{without_credentials(database)} holds no tables of MLflow's",
            "Start MLflow's server on it once, with --backend-store-uri",
        )
    if versions[0] != versions[1]:
        raise GraftError(
            f"The tables here are of MLflow's revision {versions[0]}, and the server's of {versions[1]}",
            "Install the same MLflow on both sides, and run `mlflow db upgrade ADDRESS` on the older database",
        )


def _require_same_store(new: Connection, experiments: list[_Experiment], server: str, database: str) -> None:
    """Raise GraftError where the server's experiments are not in the database: it is another server's."""
    table = _table("experiments")
    names = {row["experiment_id"]: row["name"] for row in new.execute(table.select()).mappings()}
    if any(names.get(one.new_id) != one.name for one in experiments):
        raise GraftError(
            f"{without_credentials(database)} is not the database of {without_credentials(server)}",
            "Name the one that the server was started with: --backend-store-uri",
        )


def _translated(old: Connection, new: Connection, experiments: list[_Experiment]) -> dict[str, list[Row]]:
    """Return the rows by table, as they are to be in the server's database."""
    numbers = {one.old_id: one.new_id for one in experiments}
    places = sorted(((one.old_place, one.new_place) for one in experiments if one.old_place), reverse=True)
    rows: dict[str, list[Row]] = {}
    for name in TABLES:
        rows[name] = [dict(row) for row in old.execute(_table(name).select()).mappings()]
        for row in rows[name]:
            if row.get("experiment_id") is not None:
                row["experiment_id"] = numbers[row["experiment_id"]]
            for column in PLACES:
                if row.get(column):
                    row[column] = _moved(row[column], places)
    # A data set that two projects have logged to one experiment is one row, whoever came first.
    stored = _stored(new, "datasets", rows["datasets"])
    uuids = {}
    for row in rows["datasets"]:
        if there := stored.get(_key("datasets", row)):
            uuids[row["dataset_uuid"]] = there["dataset_uuid"]
            row["dataset_uuid"] = there["dataset_uuid"]
    for name, column in (("inputs", "source_id"), ("logged_model_metrics", "dataset_uuid")):
        for row in rows[name]:
            row[column] = uuids.get(row[column], row[column])
    return rows


def _moved(place: str, places: list[tuple[str, str]]) -> str:
    for before, after in places:
        if place == before or place.startswith(f"{before}/"):
            return after.rstrip("/") + place[len(before) :]
    return place


def _require_no_others(new: Connection, rows: dict[str, list[Row]]) -> None:
    """Raise GraftError where the server has a version of one of these names and numbers that is of another run."""
    stored = _stored(new, "model_versions", rows["model_versions"])
    for row in rows["model_versions"]:
        there = stored.get(_key("model_versions", row))
        if there is not None and there["run_id"] != row["run_id"]:
            raise GraftError(
                f"The server has another version {row['version']} of the model '{row['name']}', of another run",
                "Two projects have used one name: choose another with register.model_name, or rename it there",
            )


def _not_taken(old: Connection) -> Counter[str]:
    from sqlalchemy import func, inspect, select, table

    others = set(inspect(old).get_table_names()) - {*TABLES, "experiments", "alembic_version", "workspaces"}
    counts = {name: old.execute(select(func.count()).select_from(table(name))).scalar() for name in sorted(others)}
    return Counter({name: count for name, count in counts.items() if count})


def _copy_rows(new: Connection, name: str, rows: list[Row], done: Migrated) -> None:
    stored, missing = _stored(new, name, rows), []
    for row in rows:
        there = stored.get(_key(name, row))
        if there is None:
            missing.append(row)
        else:
            (done.equal if there == row else done.other)[name] += 1
    for start in range(0, len(missing), _ROWS):
        new.execute(_table(name).insert(), missing[start : start + _ROWS])
    written = _stored(new, name, missing)
    if wrong := sum(written.get(_key(name, row)) != row for row in missing):
        raise GraftError(f"{wrong} rows of {name} are not in the database as they were written", "Nothing was copied")
    done.copied[name] += len(missing)


def _stored(new: Connection, name: str, rows: list[Row]) -> dict[tuple[Any, ...], Row]:
    """Return the rows of a table that share the first column of their key with one of ``rows``, by key."""
    table = _table(name)
    first = "run_uuid" if "run_uuid" in table.c else next(iter(table.primary_key)).name
    wanted = sorted({row[first] for row in rows}, key=str)
    found: dict[tuple[Any, ...], Row] = {}
    for start in range(0, len(wanted), _ROWS):
        query = table.select().where(table.c[first].in_(wanted[start : start + _ROWS]))
        for row in new.execute(query).mappings():
            found[_key(name, row)] = dict(row)
    return found


def _key(name: str, row: Any) -> tuple[Any, ...]:
    return tuple(row[column.name] for column in _table(name).primary_key)


def _table(name: str) -> Table:
    import mlflow.store.model_registry.dbmodels.models  # noqa: F401  (adds its tables to the same metadata)
    from mlflow.store.db.base_sql_model import Base

    found: Table = Base.metadata.tables[name]
    return found


def _copy_files(experiments: list[_Experiment], server: str, done: Migrated) -> None:
    """Copy each experiment's files through the server, those that it lacks, and read all of them back."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
    from mlflow.utils.file_utils import local_file_uri_to_path
    from mlflow.utils.uri import is_local_uri

    work: list[Callable[[], None]] = []
    for one in experiments:
        if not is_local_uri(one.old_place):
            continue
        folder = Path(local_file_uri_to_path(one.old_place))
        repository = get_artifact_repository(one.new_place, tracking_uri=server)
        for path in _files(folder):
            inside = path.relative_to(folder).parent.as_posix()
            work.append(partial(_copy_file, repository, path, inside, done))
    with ThreadPoolExecutor(_THREADS) as pool, progress_bar("Copying files", len(work)) as advance:
        for copied in [pool.submit(copy) for copy in work]:
            copied.result()
            advance(1)


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path


def _copy_file(repository: Any, path: Path, folder: str, done: Migrated) -> None:
    """Copy a file into a folder of a repository unless it is there as it is here; read it back."""
    inside = "" if folder == "." else folder
    name = f"{inside}/{path.name}" if inside else path.name
    expected = sha256_of(path)
    size = path.stat().st_size
    is_there = any((one.path, one.file_size) == (name, size) for one in repository.list_artifacts(inside))
    if is_there and _sha256_there(repository, name) == expected:
        done.equal["files"] += 1
        return
    repository.log_artifact(str(path), inside or None)
    if _sha256_there(repository, name) != expected:
        raise GraftError(f"The server does not give {name} out as it was written", "See to its files, and repeat this")
    done.copied["files"] += 1


def _sha256_there(repository: Any, name: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        return sha256_of(Path(repository.download_artifacts(name, dst_path=folder)))
