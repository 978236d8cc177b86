"""Run Prefect's server in this process, with the tables of a new database copied from one that was made before.

    python -m graft.automation.prefect_process CACHE server start ...

Prefect makes its tables by a hundred migrations, one after the other: ten seconds of a processor for each new project.
They are made once for each version of Prefect, and kept in graft's cache: an empty database, with nothing of a project.
Its pages are confined to this server, see :mod:`graft.core.confined_pages`.
"""

from __future__ import annotations

import asyncio
import os
import runpy
import shutil
import sqlite3
import stat
import sys
from contextlib import closing
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from graft.core.confined_pages import confined
from graft.core.files import replaced_file

if TYPE_CHECKING:
    from fastapi import FastAPI


def main() -> None:
    """Provide the database where it is missing, then do what Prefect does for the arguments."""
    cache, *arguments = sys.argv[1:]
    database = sqlite_file()
    if database is not None and not database.exists():
        provide_database(database, Path(cache) / "prefect" / f"{metadata.version('prefect')}.db")
    confine_pages()
    sys.argv = ["prefect", *arguments]
    runpy.run_module("prefect", run_name="__main__", alter_sys=True)


def confine_pages() -> None:
    """Have Prefect, in this process, serve its pages with a policy that keeps them to their own server."""
    from prefect.server.api import server

    make = server.create_ui_app

    def create_ui_app(ephemeral: bool) -> FastAPI:
        app = make(ephemeral)
        app.add_middleware(confined)
        return app

    server.create_ui_app = create_ui_app


def sqlite_file() -> Path | None:
    """Return the file that Prefect's settings name as its database; None where it is on a server, or in memory."""
    from prefect.settings import get_current_settings
    from sqlalchemy.engine import make_url

    connection = get_current_settings().server.database.connection_url
    url = make_url(connection.get_secret_value()) if connection is not None else None
    if url is None or url.get_backend_name() != "sqlite" or not url.database or ":memory:" in url.database:
        return None
    return Path(url.database)


def provide_database(database: Path, template: Path) -> None:
    """Copy the template to a database that is missing, or make the database, and a template of it where that can be.

    Raises:
        OSError: the disk is full or cannot be written.
    """
    if is_own(template):
        with replaced_file(database, private=True) as partial:
            shutil.copyfile(template, partial)
        return
    from prefect.server.database.dependencies import provide_database_interface

    asyncio.run(provide_database_interface().create_db())
    try:
        with (
            replaced_file(template, private=True) as partial,
            closing(sqlite3.connect(database)) as made,
            closing(sqlite3.connect(partial)) as copy,
        ):
            made.backup(copy)
    except (OSError, sqlite3.Error) as error:
        print(f"The next new project makes Prefect's tables itself: {error}", flush=True)  # into the server's log


def is_own(template: Path) -> bool:
    """Return whether a file is there that nobody but this user can have written: a cache may be shared by a group.

    What runs flows believes its database.
    """
    try:
        status = template.lstat()
    except OSError:
        return False
    others = stat.S_IWGRP | stat.S_IWOTH
    return stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & others


if __name__ == "__main__":
    main()
