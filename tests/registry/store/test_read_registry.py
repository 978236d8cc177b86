"""Tests of reading MLflow's registry by SQL: it answers as MLflow's own client does, and without importing it."""

import subprocess
import sys
from pathlib import Path

import pytest

from graft.core.errors import GraftError
from graft.core.project import Project
from graft.registry.store.read_registry import ClientReader, RegistryReader, SqliteReader, read_registry
from graft.registry.store.tracking_store import open_store

NAMES = ["pets", "C++ 'quoted' \"x\"", "größe/%_", "nobody"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, str]:
    """Return a project whose store has models with versions, aliases, tags and a deleted version, and a model's id."""
    project = Project(tmp_path_factory.mktemp("project"))
    client = open_store(project)
    run = client.create_run(client.create_experiment("pets")).info.run_id
    for value in (0.5, 0.25):
        client.log_metric(run, "test_log_loss", value)
    client.log_metric(run, "odd", float("nan"))
    client.log_metric(run, "endless", float("inf"))
    model = client.create_logged_model("1", name="logged", source_run_id=run, tags={"model.sha256": "ab"})
    gone = client.create_logged_model("1", name="gone")
    client.delete_logged_model(gone.model_id)
    for name in NAMES[:2]:
        client.create_registered_model(name, tags={"champion.change.1": "x"})
        for number in range(3):
            tags, of = {"strategy": f"s{number}"}, run if number else None
            client.create_model_version(name, source=f"file:///somewhere/{number}", run_id=of, tags=tags)
        client.set_model_version_tag(name, "1", "champion.reigns", "[]")
        client.set_model_version_tag(name, "2", "champion.reigns", "[1]")
        client.set_registered_model_alias(name, "champion", "3")
        client.set_registered_model_alias(name, "Challenger", "1")
        client.delete_model_version(name, "2")
    return project, model.model_id


@pytest.fixture(params=["SQL", "client"])
def reader(request: pytest.FixtureRequest, store: tuple[Project, str]) -> RegistryReader:
    project, _ = store
    return SqliteReader(project.home / "mlflow.db") if request.param == "SQL" else ClientReader(open_store(project))


@pytest.mark.parametrize("name", NAMES)
def test_sql_and_client_answer_alike(store: tuple[Project, str], name: str) -> None:
    project, logged = store
    by_sql, by_client = SqliteReader(project.home / "mlflow.db"), ClientReader(open_store(project))
    assert by_sql.model(name) == by_client.model(name)
    for number in ("1", "2", "3", "4", "01", "x", ""):
        assert by_sql.version(name, number) == by_client.version(name, number), number
    for key in ("champion.reigns", "strategy", "none"):
        ours, theirs = ({one.version: one.tags.get(key) for one in of.versions_with(name, key)}
                        for of in (by_sql, by_client))  # fmt: skip
        assert ours == theirs
    assert by_sql.logged_model(logged) == by_client.logged_model(logged)


def test_the_last_metrics_of_a_run_are_alike(store: tuple[Project, str]) -> None:
    project, logged = store
    by_sql, by_client = SqliteReader(project.home / "mlflow.db"), ClientReader(open_store(project))
    model = by_sql.logged_model(logged)
    assert model is not None
    found = by_sql.run_metrics(model.run_id)
    assert found is not None
    assert found["test_log_loss"] == 0.25
    assert repr(sorted(found.items())) == repr(sorted((by_client.run_metrics(model.run_id) or {}).items()))
    assert by_sql.run_metrics("0" * 32) is by_client.run_metrics("0" * 32) is None


def test_what_is_there_is_found_and_what_was_deleted_is_not(reader: RegistryReader, store: tuple[Project, str]) -> None:
    found = reader.model("pets")
    assert found is not None
    assert found.aliases["champion"] == "3"
    assert found.tags == {"champion.change.1": "x"}
    version = reader.version("pets", "3")
    assert version is not None
    assert (version.location, version.tags["strategy"]) == ("file:///somewhere/2", "s2")
    assert [one.version for one in reader.versions_with("pets", "champion.reigns")] == ["1"]
    logged = reader.logged_model(store[1])
    assert logged is not None
    assert logged.tags["model.sha256"] == "ab"
    assert reader.model("nobody") is reader.version("pets", "2") is reader.logged_model("m-none") is None


def test_the_projects_own_database_is_read_without_mlflow(store: tuple[Project, str], tmp_path: Path) -> None:
    project, _ = store
    code = (
        "import sys; from pathlib import Path; from graft.core.project import Project\n"
        "from graft.registry.store.read_registry import read_registry\n"
        f"found = read_registry(Project(Path({str(project.home)!r}))).model('pets')\n"
        "print(found.aliases['champion'], 'mlflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["3", "False"]


def test_tables_of_another_revision_are_read_through_mlflow(
    store: tuple[Project, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    project, _ = store
    assert isinstance(read_registry(project), SqliteReader)
    monkeypatch.setattr("graft.registry.store.read_registry.REVISIONS", frozenset({"0000"}))
    assert isinstance(read_registry(project), ClientReader)


def test_a_database_that_cannot_be_read_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"no database")
    with pytest.raises(GraftError, match=r"store sqlite:///.*mlflow.db cannot be opened"):
        SqliteReader(tmp_path / "mlflow.db").model("pets")
