"""Quiet libraries, and what tests of several folders share: the material beside the project, a tiny project."""

import contextlib
import gc
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest
from outside_settings import OUTSIDE_SETTINGS
from tiny import make_project

from graft.core.environment import NO_TELEMETRY, QUIET
from graft.core.files import replaced_file
from graft.core.project import Project
from graft.networks.engines.tensorflow_import import CONVOLUTIONS
from graft.registry.store.tracking_store import bring_home

# Before any test module imports TensorFlow, MLflow or Prefect.
for name, value in {**NO_TELEMETRY, **QUIET, **CONVOLUTIONS}.items():
    os.environ.setdefault(name, value)

# Its width is taken from here when it is first imported, and tests name their own.
os.environ.pop("COLUMNS", None)

# A shell has what it starts in the background ignore Ctrl-C, and with it all that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

REPOSITORY = Path(__file__).resolve().parents[1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take minutes come first: where several are run side by side, none is left for the end."""
    weights: dict[Path, int] = {}
    for item in items:
        weight = 2 if item.get_closest_marker("end_to_end") else bool(item.get_closest_marker("slow"))
        weights[item.path] = max(weight, weights.get(item.path, 0))
    items.sort(key=lambda item: -weights[item.path])


@pytest.fixture(scope="module", autouse=True)
def nothing_old_is_looked_through() -> None:
    """What libraries and earlier files of tests have left is here to stay: each collection would look at all of it.

    That is a million objects and a third of a second, also for each training, which ends with a collection.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


@pytest.fixture(scope="session")
def shared() -> Callable[[str], Path]:
    """A file of the material beside the project; the test skips where it is not there."""

    def find(name: str) -> Path:
        path = REPOSITORY.parent / "shared" / name
        if not path.exists():
            pytest.skip(f"needs ../shared/{name} beside the project")
        return path

    return find


@pytest.fixture(autouse=True)
def own_temporary_folder() -> Iterator[None]:
    """A command that a test calls moves the process's temporary files into the test's project; the next has others.

    So it is with the settings that a test leaves in the environment.
    """
    before = {name: os.environ.get(name) for name in OUTSIDE_SETTINGS}
    with _same_temporary_folder():
        yield
    for name, value in before.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value


def pytest_configure(config: pytest.Config) -> None:
    """Add what is asked for every fixture: a hook in this file is not asked for those that the session shares."""
    config.pluginmanager.register(_SharedFixtures())


class _SharedFixtures:
    """Gives back the folder for temporary files after a fixture of several tests: its project is not theirs."""

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[object]) -> Generator[None, object, object]:
        if fixturedef.scope == "function":
            return (yield)
        with _same_temporary_folder():
            return (yield)


@contextlib.contextmanager
def _same_temporary_folder() -> Iterator[None]:
    before = tempfile.tempdir
    try:
        yield
    finally:
        tempfile.tempdir = before


@pytest.fixture(scope="session", autouse=True)
def made_tables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Path, Path], None]]:
    """MLflow's tables are made once for all stores of this process, as far as they are its own: it takes seconds.

    Gives the function that really makes them.
    """
    from graft.registry.store import tracking_store as store

    really = store._create
    folder = tmp_path_factory.mktemp("tables")
    made = folder / "mlflow.db"

    def create(database: Path, artifacts: Path) -> None:
        if not made.exists():
            really(made, folder / artifacts.name)
        with replaced_file(database) as partial:
            shutil.copyfile(made, partial)
        bring_home(database, artifacts)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "_create", create)
        yield really


@pytest.fixture
def no_outside_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the user's shell names must not move the cache or MLflow's store."""
    for variable in OUTSIDE_SETTINGS:
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def project(tmp_path: Path, no_outside_settings: None) -> Project:
    """A project of a few tiny images with its split tables, nothing trained yet."""
    return make_project(tmp_path / "project")


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Two strategies trained and in MLflow; to be read only, or copied with ``recorded.copy_of``."""
    from recorded import make_recorded

    with pytest.MonkeyPatch.context() as patch:
        for variable in OUTSIDE_SETTINGS:
            patch.delenv(variable, raising=False)
        return make_recorded(tmp_path_factory.mktemp("recorded") / "project")
