"""`graft ui`: MLflow and Prefect in the browser, on loopback, until Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import Annotated

import psutil
import typer

from graft.core.credentials import without_credentials
from graft.environment import configure
from graft.errors import GraftError
from graft.prefect_server import (
    HOST,
    adopt_server,
    has_ended,
    port_is_free,
    running_server,
    start_server,
    stop_server,
    wait_until_ready,
)
from graft.processes import end_tree
from graft.progress import console
from graft.project import Project, find_project


def ui(
    mlflow_port: Annotated[
        int, typer.Option(metavar="PORT", help="Port of MLflow's pages.", min=1, max=65535)
    ] = 5000,
    prefect_port: Annotated[
        int, typer.Option(metavar="PORT", help="Port of Prefect's pages.", min=1, max=65535)
    ] = 4200,
) -> None:
    """Open MLflow (runs, models) and Prefect (flows) for the browser; Ctrl-C ends both.

    While they run, `graft run` and `dvc repro` use this Prefect server, so that their flows show up here. Where
    `graft schedule` has one at work, or MLFLOW_TRACKING_URI names a server of MLflow's, that is the one you are told
    of, and it stays.
    """
    project = find_project()
    configure(project)
    there = running_server(project, that_stays=True)
    mlflow_there = project.tracking_uri if project.tracking_is_served else None
    ports = [] if mlflow_there else [(mlflow_port, "--mlflow-port")]
    ports += [] if there else [(prefect_port, "--prefect-port")]
    for port, option in ports:
        if not port_is_free(port):
            raise GraftError(
                f"Port {port} on {HOST} is in use",
                f"End what listens there, or name another port with {option}",
            )
    from graft.data.versioning import dataset_name
    from graft.tracking.store import open_store, runs_page

    # A supervisor ends a service with SIGTERM; the two servers must go with it, as they do at Ctrl-C.
    for stop in (signal.SIGTERM, signal.SIGINT):
        signal.signal(stop, signal.default_int_handler)
    prefect, mlflow = None, None
    try:
        with console.status("Starting MLflow and Prefect"):
            client = open_store(project)  # creates or migrates the database before the server looks at it
            prefect, url = (adopt_server(project), there) if there else start_server(project, prefect_port)
            mlflow = None if mlflow_there else _start_mlflow(project, mlflow_port)
            wait_until_ready(url)
            if mlflow:
                _wait_for_port(mlflow, mlflow_port)
        address = mlflow_there or f"http://{HOST}:{mlflow_port}"
        page = without_credentials(runs_page(client, address, dataset_name(project)))
        console.print(f"MLflow   {page}    runs side by side, confusion matrices, models", soft_wrap=True)
        console.print(
            f"Prefect  {without_credentials(url.removesuffix('/api'))}    flows and their tasks",
            soft_wrap=True,
        )
        mine = [name for name, process in (("MLflow", mlflow), ("Prefect", prefect)) if process]
        if not mine:
            console.print("Neither was started here, and both stay.")
            return
        theirs = "" if len(mine) == 2 else " The other was not started here, and stays."
        console.print(f"Ctrl-C ends {' and '.join(mine)}.{theirs}")
        while not any(has_ended(process) for process in (mlflow, prefect) if process):
            time.sleep(0.5)
        raise GraftError(
            "One of the servers ended by itself",
            "See .graft/state/mlflow-server.log and .graft/state/prefect/server.log",
        )
    except KeyboardInterrupt:
        console.print("Ended.")
    finally:
        if mlflow:
            end_tree(mlflow.pid)  # its workers are children of its own
        if prefect:
            stop_server(project, prefect)


def _start_mlflow(project: Project, port: int) -> psutil.Process:
    where = ["--host", HOST, "--port", str(port), "--workers", "1"]
    files = ["--default-artifact-root", project.mlflow_artifacts.as_uri()]
    with (project.state / "mlflow-server.log").open("wb") as log:
        return psutil.Popen(
            [sys.executable, "-m", "mlflow", "server", *where, *files],
            stdout=log,
            stderr=subprocess.STDOUT,
            # Not on the command line, which every account of the machine can see.
            env={**os.environ, "PYTHONUNBUFFERED": "1", "MLFLOW_BACKEND_STORE_URI": project.tracking_uri},
            start_new_session=True,
        )


def _wait_for_port(process: psutil.Process, port: int, limit: float = 60) -> None:
    deadline = time.monotonic() + limit
    while port_is_free(port):
        if has_ended(process) or time.monotonic() > deadline:
            raise GraftError(
                f"MLflow's server did not start on port {port}", "See .graft/state/mlflow-server.log"
            )
        time.sleep(0.2)
