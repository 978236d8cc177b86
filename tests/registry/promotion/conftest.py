"""A registry with versions in it and no models behind them: what changing the champion needs, and no more."""

import shutil
from pathlib import Path

import pytest

from graft.core.project import Project
from graft.registry.promotion.change_champion import Registry
from graft.registry.promotion.promote import open_registry
from graft.registry.store.tracking_store import open_store

MODEL = "tints"
VERSIONS = 4


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's database with a few versions, made once: the first use of a database migrates it for seconds."""
    project = Project(tmp_path_factory.mktemp("store"))
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        client = open_store(project)
        client.create_registered_model(MODEL)
        for number in range(VERSIONS):
            client.create_model_version(MODEL, f"file:///nowhere/{number}", tags={"strategy": f"s{number + 1}"})
        client.set_registered_model_alias(MODEL, "challenger", "1")
    return project.home / "mlflow.db"


@pytest.fixture
def home(store: Path, tmp_path: Path, no_outside_settings: None) -> Project:
    """A project of its own with a copy of that database."""
    shutil.copy(store, tmp_path / "mlflow.db")
    return Project(tmp_path)


@pytest.fixture
def registry(home: Project) -> Registry:
    return open_registry(home, MODEL)
