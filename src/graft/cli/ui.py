"""`graft ui`: MLflow and Prefect in the browser, on loopback, until Ctrl-C."""

from __future__ import annotations

import secrets
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from graft.cli.output import say
from graft.core.credentials import without_credentials
from graft.core.environment import configure
from graft.core.errors import GraftError
from graft.core.loopback import HOST
from graft.core.progress import console
from graft.core.project import Project, find_project

if TYPE_CHECKING:
    import psutil

    from graft.automation.prefect_server import PrefectServer

_START_LIMIT_SECONDS = 60.0


def ui(
    mlflow_port: Annotated[int, typer.Option(metavar="PORT", help="Port of MLflow's pages.", min=1, max=65535)] = 5000,
    prefect_port: Annotated[
        int, typer.Option(metavar="PORT", help="Port of Prefect's pages.", min=1, max=65535)
    ] = 4200,
) -> None:
    """Open MLflow (runs, models) and Prefect (flows) for the browser; Ctrl-C ends both.

    Both want a password that is new at each start: MLflow's is in its address, Prefect's page asks for the one that is
    printed beside it. While they run, `graft run` and `dvc repro` use this Prefect server, so that their flows show up
    here. Where `graft schedule` has one at work, or MLFLOW_TRACKING_URI names a server of MLflow's, that is the one
    you are told of, and it stays.
    """
    from graft.automation.prefect_server import (
        adopt_server,
        log_file,
        port_is_free,
        running_server,
        start_server,
        stop_server,
        wait_until_ready,
    )
    from graft.core.processes import end_tree
    from graft.data.folder.versioning import dataset_name
    from graft.registry.store.mlflow_server import open_address, start_mlflow
    from graft.registry.store.runs_page import runs_page
    from graft.registry.store.tracking_store import open_store

    project = find_project()
    configure(project)
    prefect = running_server(project, that_stays=True)
    mlflow_there = project.tracking_uri if project.tracking_is_served else None
    ports = [] if mlflow_there else [(mlflow_port, "--mlflow-port")]
    ports += [] if prefect else [(prefect_port, "--prefect-port")]
    for port, option in ports:
        if not port_is_free(port):
            raise GraftError(
                f"Port {port} on {HOST} is in use", f"End what listens there, or name another port with {option}"
            )
    # A supervisor ends a service with SIGTERM; the two servers must go with it, as they do at Ctrl-C.
    for stop in (signal.SIGTERM, signal.SIGINT):
        signal.signal(stop, signal.default_int_handler)
    my_prefect: PrefectServer | None = None
    mlflow: psutil.Popen | None = None
    try:
        with console.status("Starting MLflow and Prefect"):
            client = open_store(project)  # creates or migrates the database before the server looks at it
            if prefect:
                my_prefect = adopt_server(project)
            else:
                prefect = my_prefect = start_server(project, prefect_port)
            password = secrets.token_urlsafe(16)
            mlflow = None if mlflow_there else start_mlflow(project, mlflow_port, password)
            wait_until_ready(project, prefect)
            if mlflow:
                _wait_for_mlflow(project, mlflow, mlflow_port)
        page = runs_page(client, mlflow_there or f"http://{HOST}:{mlflow_port}", dataset_name(project))
        page = open_address(page, password) if mlflow else without_credentials(page)
        console.print("MLflow: runs side by side, confusion matrices, models")
        say(f"  {page}")
        console.print("Prefect: flows and their tasks")
        say(f"  {prefect.pages}    password {prefect.password}")
        mine = [name for name, process in (("MLflow", mlflow), ("Prefect", my_prefect)) if process]
        if not mine:
            console.print("Neither was started here, and both stay.")
            return
        theirs = "" if len(mine) == 2 else " The other was not started here, and stays."
        console.print(f"Ctrl-C ends {' and '.join(mine)}.{theirs}")
        started = {project.mlflow_log: mlflow, log_file(project): my_prefect and my_prefect.process}
        _wait_for_end({log: process for log, process in started.items() if process})
    except KeyboardInterrupt:
        console.print("Ended.")
    finally:
        if mlflow:
            end_tree(mlflow.pid)  # its workers are children of its own
        if my_prefect:
            stop_server(project, my_prefect)


def _wait_for_end(started: dict[Path, psutil.Process]) -> None:
    """Wait until a server ends by itself, which raises GraftError with its log."""
    from graft.automation.prefect_server import has_ended

    while True:
        for log, process in started.items():
            if has_ended(process):
                raise GraftError("One of the servers ended by itself", f"See {log}")
        time.sleep(0.5)


def _wait_for_mlflow(project: Project, process: psutil.Popen, port: int) -> None:
    from graft.automation.prefect_server import has_ended, listens

    deadline = time.monotonic() + _START_LIMIT_SECONDS
    while not listens(process, port):  # and nothing else that has come to the port
        if has_ended(process) or time.monotonic() > deadline:
            raise GraftError(f"MLflow's server did not start on port {port}", f"See {project.mlflow_log}")
        time.sleep(0.2)
