"""`graft retrain`: one retraining, now."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from graft.cli.app import opened
from graft.cli.options import ForceOption
from graft.cli.output import say
from graft.core.outside import own_path
from graft.core.project import Project

if TYPE_CHECKING:
    from graft.core.params.models import Params


def retrain(
    force: ForceOption = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be taken in, left out and why; change nothing.")
    ] = False,
    accept: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Acknowledge a delivery in the quarantine that stops all runs (on_bad: stop); start no run.",
        ),
    ] = "",
    abandon: Annotated[
        bool, typer.Option("--abandon", help="Give up on what earlier runs left open, and say what; start no run.")
    ] = False,
) -> None:
    """Take in what lies in the inbox, train, and promote what passes the gate; `retrain` in params.yaml says how.

    All of it happens in a copy of its own: your files change once, at the end. What is bad goes into the quarantine
    with its reasons. Where there is nothing to do, that takes two seconds and no flow. What a run could not finish,
    the next one does.
    """
    from graft.automation.prefect_server import shared_server
    from graft.automation.retraining.idle import finish_idle
    from graft.core.processes import run_to_end

    project, params = opened()  # a typo in params.yaml is found before anything is started
    if accept or abandon or dry_run:
        _without_a_run(project, params, accept, abandon, dry_run, force)
        return
    if not force and (idle := finish_idle(project, params)) is not None:
        say(idle)
        return
    with shared_server(project) as prefect:
        command = [sys.executable, "-m", "pipelines.retrain", *(["--force"] if force else [])]
        code = run_to_end(command, cwd=project.root, env={**os.environ, **prefect})
    raise typer.Exit(code)


def _without_a_run(project: Project, params: Params, accept: str, abandon: bool, dry_run: bool, force: bool) -> None:
    from graft.automation.retraining import finishing, quarantine
    from graft.automation.retraining.outcome import details
    from graft.automation.retraining.retraining import Retraining

    if accept:
        folder = project.root / own_path(params.retrain.deliveries.quarantine)
        quarantine.acknowledge(folder, accept)
        say(f"{accept} stops no more runs; it stays in {folder}.")
    if abandon:
        for line in finishing.abandon(project) or ["Nothing was open."]:
            say(line)
    if dry_run:
        retraining = Retraining(project, params, force)
        retraining.preview()
        say(details(retraining.outcome).strip() or "Nothing to do.")
