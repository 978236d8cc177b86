"""The memory of a sweep: Optuna's study, in a file of the project's or in a database that several machines share."""

import hashlib
import json
import platform
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from graft.core.errors import GraftError, first_line
from graft.core.params.models import Params
from graft.core.progress import console
from graft.core.project import Project
from graft.evaluation.metrics import HIGHER_IS_BETTER
from graft.training.train import work_key

# A database that is restarted, or moves to another machine, is back by then; what was trained meanwhile is not lost.
_PATIENCE_SECONDS = 120
_TRIES = 10


@contextmanager
def sweep_study(project: Project, params: Params, folder: Path) -> Iterator[Any]:
    """Yield Optuna's study of a sweep, from ``sweep.storage`` or a file in a folder.

    A database that goes away is waited for, up to two minutes.

    Raises:
        GraftError: the storage cannot be reached, not be used, or has gone away.
    """
    import optuna

    shared = params.sweep.storage
    try:
        storage = _storage(shared or f"sqlite:///{folder / 'sweeps.sqlite'}")
        study = optuna.create_study(
            storage=storage,
            study_name=_identity(project, params),
            load_if_exists=True,
            direction="maximize" if HIGHER_IS_BETTER[params.sweep.metric] else "minimize",
        )
    except Exception as error:  # of Optuna, SQLAlchemy and the database's driver
        raise GraftError(
            f"The memory of sweeps at {shared or folder} cannot be used: {first_line(error)}",
            "See that the database is there, and that its driver is installed: pip install 'graft[team]'",
        ) from error
    if shared:
        _wait_for_database(storage.engine)
    try:
        yield study
    except optuna.exceptions.StorageInternalError as error:
        raise GraftError(
            f"The memory of sweeps at {shared or folder} has gone away: {first_line(error.__cause__ or error)}",
            "Run the sweep again once it is back: it carries on from what is remembered",
        ) from error
    finally:
        storage.engine.dispose()


def _storage(address: str) -> Any:
    """Return Optuna's storage in a database; its tables are made where there are none."""
    import optuna
    import sqlalchemy

    for left in reversed(range(_TRIES)):
        try:
            # A connection that the database has dropped since it was last used is found out, and made anew.
            return optuna.storages.RDBStorage(address, engine_kwargs={"pool_pre_ping": True})
        except (sqlalchemy.exc.DatabaseError, optuna.exceptions.StorageInternalError) as error:
            cause = error.__cause__ if isinstance(error, optuna.exceptions.StorageInternalError) else error
            # Of machines that begin on an empty database in the same moment one makes the tables; Optuna's statements
            # fail in the others.
            is_race = isinstance(cause, sqlalchemy.exc.IntegrityError | sqlalchemy.exc.ProgrammingError)
            if not left or not is_race:
                raise
            time.sleep(random.uniform(0.2, 1))
    raise AssertionError("the last try returns or raises")


def this_machine(project: Project) -> str:
    """Return a name for this project on this machine, among those that share a storage."""
    return f"{platform.node()}:{project.root}"


def _wait_for_database(engine: Any) -> None:
    """Make an engine of SQLAlchemy's try again where the database cannot be connected to."""
    import sqlalchemy

    @sqlalchemy.event.listens_for(engine, "do_connect")
    def connect(dialect: Any, _: Any, arguments: Any, settings: Any) -> Any:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        is_said = False
        while True:
            try:
                return dialect.connect(*arguments, **settings)
            except dialect.dbapi.OperationalError as error:
                if time.monotonic() > deadline:
                    raise
                if not is_said:
                    console.print(f"The database of the sweep does not answer: {first_line(error)}. Waiting for it.")
                    is_said = True
                time.sleep(1)


def _identity(project: Project, params: Params) -> str:
    """Return a name of the sweep that follows from all that decides its outcome but the number of trials, which may
    grow.

    That is the section, and of each strategy in it what :func:`graft.training.train.work_key` counts: settings,
    images, weights, versions and code.
    """
    described = {
        "sweep": params.sweep.model_dump(mode="json", exclude={"trials", "storage"}),
        "seed": params.train.seed,
        "work": [work_key(project, params.train, params.train.strategy(name)) for name in params.sweep.settings],
    }
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:16]
