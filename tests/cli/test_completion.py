"""Names for the shell, out of a project's own files."""

import contextlib
import sqlite3
from pathlib import Path

import pytest

from graft.cli import completion
from graft.core.project import Project


@pytest.fixture
def here(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(project.root)
    return project


def test_d7_outside_a_project_there_is_nothing_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for names in (completion.stages, completion.models, completion.versions):
        assert names("") == []


def test_d7_models_and_versions_are_read_from_mlflows_own_database(here: Project) -> None:
    from graft.registry.store.tracking_store import open_store

    assert completion.models("") == []
    client = open_store(here)
    client.create_registered_model("tints")
    for number in (1, 2, 10):
        made = client.create_model_version("tints", f"file:///nowhere/{number}")
    client.set_registered_model_alias("tints", "champion", made.version)
    assert completion.models("") == ["models:/tints@champion"]
    assert completion.versions("") == ["3", "2", "1"]


def test_m12_also_where_the_path_has_characters_of_addresses(here: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    root = here.root / "a#b%41"
    root.mkdir()
    for name in ("params.yaml", "dvc.yaml"):
        (root / name).touch()
    with contextlib.closing(sqlite3.connect(root / "mlflow.db")) as database:
        database.execute("CREATE TABLE registered_model_aliases (name, alias, version)")
        database.execute("INSERT INTO registered_model_aliases VALUES ('tints', 'champion', '1')")
        database.commit()
    monkeypatch.chdir(root)
    assert completion.models("") == ["models:/tints@champion"]


def test_d7_a_served_or_damaged_store_completes_nothing(here: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    (here.home / "mlflow.db").write_bytes(b"no database")
    with pytest.raises(sqlite3.Error), sqlite3.connect(here.home / "mlflow.db") as database:
        database.execute("SELECT * FROM model_versions")
    assert completion.models("") == []
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    assert completion.versions("") == []
