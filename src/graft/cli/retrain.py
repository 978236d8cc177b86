"""`graft retrain`: one retraining, now."""

from __future__ import annotations

import os
import subprocess
import sys

import typer

from graft.cli.options import ForceOption
from graft.environment import configure
from graft.project import find_project


def retrain(
    force: ForceOption = False,
) -> None:
    """Take in what lies in the inbox, train, and promote what passes the gate; `retrain` in params.yaml says how.

    What is bad goes into the quarantine with its reasons. Where there is nothing to do, that takes seconds. A run that
    was cut off is finished, or taken back, by the next one.
    """
    from graft.params import load_params
    from graft.prefect_server import shared_server

    project = find_project()
    configure(project)
    load_params(project.params_file)  # a typo is found before anything is started
    with shared_server(project) as url:
        command = [sys.executable, "-m", "pipelines.retrain", *(["--force"] if force else [])]
        done = subprocess.run(command, cwd=project.root, env={**os.environ, "PREFECT_API_URL": url})
    raise typer.Exit(done.returncode)
