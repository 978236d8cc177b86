"""What several people share: MLflow and Prefect on PostgreSQL, files in an object store, DVC's remote there."""

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from recorded import copy_of
from services import BUCKET, ObjectStore, PostgreSQL, Server, mlflow_server, object_store, postgresql, prefect_server
from writers import write_all

from graft.automation.examine_services import examine_services
from graft.core.errors import GraftError
from graft.core.params.models import RegisterParams
from graft.core.project import Project
from graft.registry.promotion.change_champion import Registry
from graft.registry.promotion.promote import open_registry, promote
from graft.registry.register import register_best
from graft.registry.resolve import resolve_model
from graft.registry.store.logged_models import HASH_TAG, files_of_version
from graft.registry.store.migrate_store import TABLES, migrate_store
from graft.registry.store.tracking_store import open_store

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def database() -> Iterator[PostgreSQL]:
    with postgresql() as server:
        yield server


@pytest.fixture(scope="module")
def store() -> Iterator[ObjectStore]:
    with object_store() as server:
        yield server


@pytest.fixture(scope="module")
def database_uri(database: PostgreSQL) -> str:
    return database.database("mlflow")


@pytest.fixture(scope="module")
def mlflow(database_uri: str, store: ObjectStore) -> Iterator[Server]:
    with mlflow_server(database_uri, f"s3://{BUCKET}/mlflow", store.settings) as server:
        yield server


@pytest.fixture
def shared(no_outside_settings: None, mlflow: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow.address)


@pytest.fixture(scope="module")
def migrated(
    recorded: Project, tmp_path_factory: pytest.TempPathFactory, mlflow: Server, database_uri: str
) -> tuple[Project, str]:
    """A project with runs, a champion and its history, whose store has been copied; and the champion's model name."""
    project = copy_of(recorded, tmp_path_factory.mktemp("local") / "project")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        name = register_best(project, RegisterParams(), {"first": project.strategy("first")}).model
        promote(open_registry(project, name), "1", "the first", forced=True)
    before = (project.home / "mlflow.db").read_bytes()
    done = migrate_store(project, mlflow.address, database_uri)
    assert done.copied["runs"] == 2
    assert (done.copied["model_versions"], done.copied["files"] > 20) == (1, True)
    assert not done.equal["runs"]
    assert not done.not_taken
    assert (project.home / "mlflow.db").read_bytes() == before
    return project, name


def rows(path: Path, table: str) -> int:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def test_a_migrated_store_has_every_row_and_file_and_its_champion(
    migrated: tuple[Project, str], shared: None, store: ObjectStore, tmp_path: Path
) -> None:
    project, name = migrated
    client = open_store(project)
    registry = Registry(client, name)
    assert registry.line().champion == "1"
    assert [entry.reason for entry in registry.line().entries] == ["the first"]
    version = client.get_model_version(name, "1")
    assert client.get_run(version.run_id).info.artifact_uri.startswith("mlflow-artifacts:/")
    # The model's files are whole, and lie in the bucket, which clients know nothing of.
    with files_of_version(client, name, "1") as (_, digest):
        assert digest == client.get_run(version.run_id).data.tags[HASH_TAG]
    assert any(key.startswith("mlflow/") for key in store.names())
    assert "AWS_ACCESS_KEY_ID" not in os.environ
    elsewhere = Project(tmp_path / "elsewhere")
    elsewhere.state.mkdir(parents=True)
    assert resolve_model(elsewhere, f"models:/{name}@champion").version == "1"


def test_a_migration_repeated_copies_what_is_new_and_leaves_what_others_have_changed(
    migrated: tuple[Project, str], mlflow: Server, database_uri: str, shared: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, name = migrated
    again = migrate_store(project, mlflow.address, database_uri)
    assert not sum(again.copied.values())
    assert again.equal["runs"] == rows(project.home / "mlflow.db", "runs")
    assert {table for table in TABLES if again.equal[table]} >= {"metrics", "tags", "logged_models", "inputs"}
    open_store(project).set_registered_model_tag(name, "reigns.noted", "at the server")
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    local = open_store(project)
    local.set_registered_model_tag(name, "reigns.noted", "here")
    run = local.create_run(local.get_experiment_by_name("tints").experiment_id)
    third = migrate_store(project, mlflow.address, database_uri)
    assert (third.copied["runs"], third.other["registered_model_tags"]) == (1, 1)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow.address)
    served = open_store(project)
    assert served.get_run(run.info.run_id).info.run_id == run.info.run_id
    assert served.get_registered_model(name).tags["reigns.noted"] == "at the server"


def test_a_migration_refuses_what_does_not_belong_together(
    migrated: tuple[Project, str],
    mlflow: Server,
    database: PostgreSQL,
    database_uri: str,
    tmp_path: Path,
    recorded: Project,
    no_outside_settings: None,
) -> None:
    project, _ = migrated
    with pytest.raises(GraftError, match=r"holds no tables of MLflow's.*--backend-store-uri"):
        migrate_store(project, mlflow.address, database.database("empty"))
    with pytest.raises(GraftError, match="no MLflow store of its own"):
        migrate_store(Project(tmp_path), mlflow.address, database_uri)
    # Another project, which has a model of the same name.
    other = copy_of(recorded, tmp_path / "other")
    register_best(other, RegisterParams(), {"second": other.strategy("second")})
    with pytest.raises(GraftError, match="another version 1 of the model"):
        migrate_store(other, mlflow.address, database_uri)


def test_twenty_writers_lose_nothing_while_database_and_files_go_away(
    mlflow: Server, database: PostgreSQL, store: ObjectStore, shared: None
) -> None:
    ended = threading.Event()

    def disturb() -> None:
        time.sleep(1)
        database.stop()
        time.sleep(1)
        database.start()
        store.stop()
        time.sleep(1)
        store.start()
        ended.set()

    with ThreadPoolExecutor(1) as pool:
        disturbed = pool.submit(disturb)
        lost = write_all(mlflow.address, writers=20, until=ended)
        disturbed.result()
    assert lost.problems == []
    assert lost.runs >= 20
    assert lost.files == lost.runs


def run(folder: Path, settings: dict[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [str(Path(sys.executable).with_name(arguments[0])), *arguments[1:]],
        cwd=folder,
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_project_on_an_object_store_comes_to_another_machine(
    store: ObjectStore, tmp_path: Path, no_outside_settings: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    first, second = tmp_path / "first", tmp_path / "second"
    run(tmp_path, store.settings, "graft", "init", str(first), "--remote", f"s3://{BUCKET}/flowers")
    config = (first / ".dvc" / "config").read_text(encoding="utf-8")
    assert f"url = s3://{BUCKET}/flowers" in config
    assert f"endpointurl = {store.address}" in config  # of AWS_ENDPOINT_URL: others need not know it
    assert "graft-secret" not in config
    for label in ("red", "blue"):
        (first / "data" / label).mkdir(parents=True)
        (first / "data" / label / "one.png").write_bytes(label.encode() * 100)
    run(first, store.settings, "dvc", "add", "--quiet", "data")
    run(first, store.settings, "dvc", "push", "--quiet")
    assert len(store.names("flowers/")) == 3  # two photographs and the list of them
    shutil.copytree(first, second, ignore=shutil.ignore_patterns("data", "cache", "tmp"))  # as git clone has it
    keys = {name: value for name, value in store.settings.items() if "ENDPOINT" not in name}
    run(second, keys, "dvc", "pull", "--quiet", "data")
    assert (second / "data" / "red" / "one.png").read_bytes() == b"red" * 100
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    for variable, value in keys.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", store.address)
    settings = second / "params.yaml"
    text = settings.read_text(encoding="utf-8")
    settings.write_text(text.replace("  store:\n", f"  store:\n    shared: s3://{BUCKET}/features\n"), encoding="utf-8")
    found = {one.what: one for one in examine_services(Project(second))}
    for place in ("shared features", "shared features clock"):
        assert found[place].state == "ok", found[place]
    assert found["DVC remote"].state == "ok"
    assert "written and read back" in found["DVC remote"].found
    assert found["DVC remote clock"].state == "ok"
    assert found["MLflow"].state == "note"
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
    found = {one.what: one for one in examine_services(Project(second))}
    for place in ("DVC remote", "shared features"):
        assert found[place].state == "bad"
        assert "who may write there" in found[place].fix


@pytest.mark.parametrize(
    ("remote", "problem"), [("s3://key:word@bucket/x", "password"), ("s3:///flowers", "names no bucket")]
)
def test_a_remote_of_no_use_is_refused_and_nothing_is_made(tmp_path: Path, remote: str, problem: str) -> None:
    from graft.automation.projects.init_project import init_project

    with pytest.raises(GraftError, match=problem) as raised:
        init_project(tmp_path / "flowers", remote)
    assert ":word@" not in str(raised.value)
    assert not (tmp_path / "flowers").exists()


def test_doctor_writes_to_each_server_and_reads_it_back(
    project: Project, mlflow: Server, database: PostgreSQL, database_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with prefect_server(database.database("prefect")) as prefect:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow.address)
        monkeypatch.setenv("PREFECT_API_URL", prefect.address)
        found = {one.what: one for one in examine_services(project)}
    whats = ("MLflow", "MLflow version", "MLflow clock", "MLflow writes", "Prefect", "Prefect clock", "Prefect writes")
    assert {what: found[what].state for what in whats if what in found} == dict.fromkeys(whats, "ok")
    assert "read back" in found["MLflow writes"].found
    # The database itself, in the server's place.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", database_uri)
    found = {one.what: one for one in examine_services(project)}
    assert found["Prefect"].state == "bad"  # it has ended
    # The server keeps the files, and whoever goes past it has no way to them.
    assert found["MLflow"].state == "bad"
    assert "mlflow-artifacts:" in found["MLflow"].found
    assert (found["MLflow schema"].state, found["MLflow clock"].state) == ("ok", "ok")
    assert "postgresql 18" in found["MLflow database"].found
    import psycopg2

    with contextlib.closing(psycopg2.connect(database_uri)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("SELECT version_num FROM alembic_version")
        before = cursor.fetchone()[0]
        cursor.execute("UPDATE alembic_version SET version_num = '451aebb31d03'")
    try:
        found = {one.what: one for one in examine_services(project)}
        assert any("mlflow db upgrade" in one.fix for one in found.values())
    finally:
        with (
            contextlib.closing(psycopg2.connect(database_uri)) as connection,
            connection,
            connection.cursor() as cursor,
        ):
            cursor.execute("UPDATE alembic_version SET version_num = %s", (before,))
